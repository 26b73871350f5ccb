#include "server/commands/kv/field_reply.h"

namespace sluice::server {

void ReplyField(const store::FieldSummary& field, const RowShapes* shapes, resp::Reply& reply) {
  reply.Array(shapes == nullptr ? 5 : 6);
  reply.Bulk(field.name.View());
  reply.Bulk(store::NameOf(field.dtype));
  if (field.dims) {
    reply.Array(field.dims->size());
    for (const std::int64_t dim : *field.dims) {
      reply.Integer(dim);
    }
  } else {
    reply.NullArray();
  }
  reply.Integer(field.ready_rows);
  reply.Integer(static_cast<std::int64_t>(field.bytes));
  if (shapes != nullptr && *shapes) {
    reply.Bulk(store::AsBytes(**shapes));
  } else if (shapes != nullptr) {
    reply.Null();
  }
}

void ReplyFields(std::span<const store::FieldSummary> fields, resp::Reply& reply) {
  reply.Array(fields.size());
  for (const store::FieldSummary& field : fields) {
    ReplyField(field, nullptr, reply);
  }
}

}  // namespace sluice::server
