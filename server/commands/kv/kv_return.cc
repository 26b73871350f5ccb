#include "server/commands/kv/kv_return.h"

#include <fmt/format.h>

#include "base/ids.h"

namespace sluice::server {
namespace {

// A length with its marker and line breaks, plus the bytes wasted at the end of a reply block.
constexpr std::size_t kHeaderBytesMax = 64;

std::string_view TextOf(const Text& tag) {
  return tag.IsNull() ? "{}" : tag.View();
}

}  // namespace

bool ReadReturn(ArgReader& args, Return& what) {
  if (!args.Option("RETURN")) {
    return false;
  }
  if (what.Given()) {
    args.Fail(Status(Code::kError, "syntax error: RETURN is given twice"));
  }
  const bool both = args.Option("BOTH");
  what.fields = both || args.Option("FIELDS");
  what.tags = both || (!what.fields && args.Option("TAGS"));
  what.incarnation = !what.Given() && args.Option("INCARNATION");
  if (!what.Given()) {
    args.Fail(Status(
        Code::kError,
        fmt::format("syntax error: RETURN: expected FIELDS, TAGS, BOTH or INCARNATION{}",
                    args.HasMore() ? fmt::format(", got '{}'", Printable(args.Peek())) : "")));
  }
  return true;
}

void ReserveReply(const Return& what, std::size_t own_bytes, resp::Reply& reply,
                  store::WriteRequest& write) {
  if (!what.Given()) {
    reply.Reserve(own_bytes);
    return;
  }
  write.return_fields = what.fields;
  write.return_tags = what.tags;
  write.before_apply = [own_bytes, &reply](const store::WriteResult& result) {
    std::size_t bytes = own_bytes + 4 * kHeaderBytesMax;
    for (const Text& field : result.fields) {
      bytes += kHeaderBytesMax + field.View().size();
    }
    for (const Text& tag : result.tags) {
      bytes += kHeaderBytesMax + TextOf(tag).size();
    }
    reply.Reserve(bytes);
  };
}

void BeginReturned(const Return& what, resp::Reply& reply) {
  if (what.Given()) {
    reply.Array(1U + (what.fields ? 1U : 0U) + (what.tags ? 1U : 0U) +
                (what.incarnation ? 1U : 0U));
  }
}

void ReplyReturned(const Return& what, const store::WriteResult& result, resp::Reply& reply) {
  if (what.fields) {
    reply.Array(result.fields.size());
    for (const Text& field : result.fields) {
      reply.Bulk(field.View());
    }
  }
  if (what.tags) {
    reply.Array(result.tags.size());
    for (const Text& tag : result.tags) {
      reply.Bulk(TextOf(tag));
    }
  }
  if (what.incarnation) {
    reply.Integer(result.incarnation);
  }
}

}  // namespace sluice::server
