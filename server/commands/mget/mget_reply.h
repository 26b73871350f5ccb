// The replies of KV.MGET: the *render* step, from pinned cells, without the engine lock, in pieces.
//
// Each function plans first, so that errors are found before the first byte. Then it writes a small
// reply completely; `rest` writes the remainder of a large one. The reply holds the pins of the
// values that it refers to.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "resp/reply.h"
#include "server/commands/mget/mget_columns.h"
#include "server/dispatch/long_reply.h"
#include "store/partition/rows.h"

struct SluiceTorchApi;

namespace sluice::server {

// FORMAT columns: one entry per field: [name, dtype, shape, shapes, data]; DICT adds a sixth
// element. REQUIRES: `read` is strict. Takes the pins of `read`. Errors: as PlanColumn.
Status ReplyColumns(store::ReadResult& read, const MgetOptions& options, resp::Reply& reply,
                    std::unique_ptr<LongReply>& rest);

// FORMAT safetensors: one bulk string (store/safetensors/safetensors.h). Its metadata contain
// `partition` and the keys of the rows. REQUIRES: as ReplyColumns, and `read` has the keys. Errors:
// as PlanColumn.
Status ReplySafetensors(store::ReadResult& read, std::string_view partition,
                        const MgetOptions& options, resp::Reply& reply,
                        std::unique_ptr<LongReply>& rest);

// FORMAT rows: one entry per row: [[name, dtype, shape, data], ...], or nil if the row does not
// exist. Takes the pins of `read`.
void ReplyRows(store::ReadResult& read, resp::Reply& reply, std::unique_ptr<LongReply>& rest);

// FORMAT values: as FORMAT rows, with the data as an array of texts. float16, bfloat16 and the
// 8-bit floats require `torch`. Errors: kError for more than kTextValuesMax values in all rows.
inline constexpr std::size_t kTextValuesMax = std::size_t{1} << 20;
Status ReplyValues(store::ReadResult& read, const SluiceTorchApi* torch, resp::Reply& reply,
                   std::unique_ptr<LongReply>& rest);

}  // namespace sluice::server
