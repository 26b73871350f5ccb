// WHERE: the rows of a partition whose tag fits.
#pragma once

#include <string_view>
#include <vector>

#include "server/dispatch/context.h"
#include "store/tags/where.h"

namespace sluice::server {

// Fills `indexes`, in order, and enters the engine: they are the rows that fit at that moment. Tags
// are looked at without the engine; only those that were written meanwhile are looked at again with
// it. A partition that does not exist has none. Errors: kWrongType; std::bad_alloc.
Status SelectRows(Context& context, std::string_view partition, const store::Where& where,
                  std::vector<RowIndex>& indexes);

}  // namespace sluice::server
