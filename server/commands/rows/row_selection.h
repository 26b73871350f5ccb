// WHERE: selects the rows of a partition by their tags.
#pragma once

#include <string_view>
#include <vector>

#include "server/dispatch/context.h"
#include "store/tags/where.h"

namespace sluice::server {

// Acquires the engine lock and fills `indexes`, in order, with the rows that match at that moment.
// Tags are examined without the engine lock; only rows that were written in between are examined
// again under the lock. A partition that does not exist has no rows. Errors: kWrongType;
// std::bad_alloc.
Status SelectRows(Context& context, std::string_view partition, const store::Where& where,
                  std::vector<RowIndex>& indexes);

}  // namespace sluice::server
