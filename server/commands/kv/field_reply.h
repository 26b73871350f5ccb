// The fields of a partition in the replies of KV.FIELDS and PARTITION.INFO.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "resp/reply.h"
#include "store/store.h"

namespace sluice::server {

// The shapes of a field's rows, n x rank; nullopt if the ranks differ.
using RowShapes = std::optional<std::vector<std::int64_t>>;
// Appends one entry of the reply of KV.FIELDS. `shapes` is null if the request has no SHAPES.
void ReplyField(const store::FieldSummary& field, const RowShapes* shapes, resp::Reply& reply);
void ReplyFields(std::span<const store::FieldSummary> fields, resp::Reply& reply);

}  // namespace sluice::server
