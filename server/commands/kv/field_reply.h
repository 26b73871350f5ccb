// How KV.FIELDS and PARTITION.INFO answer with a partition's fields.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "resp/reply.h"
#include "store/store.h"

namespace sluice::server {

// The shapes of a field's rows, n x rank; nullopt where ranks differ.
using RowShapes = std::optional<std::vector<std::int64_t>>;
// One entry of the reply of KV.FIELDS. `shapes` is null where the request did not ask for them.
void ReplyField(const store::FieldSummary& field, const RowShapes* shapes, resp::Reply& reply);
void ReplyFields(std::span<const store::FieldSummary> fields, resp::Reply& reply);

}  // namespace sluice::server
