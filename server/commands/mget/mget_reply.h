// KV.MGET's replies: the *render* step, from pinned cells, without the engine, in pieces.
//
// Each plans first, so that what is wrong is known before the first byte; then it writes all where
// that is little, else `rest` writes what is left. The reply holds the pins of what it refers to.
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

// FORMAT columns: one entry a field: [name, dtype, shape, shapes, data], with DICT a sixth
// element. REQUIRES: `read` is strict. Takes the pins of `read`. Errors: as PlanColumn.
Status ReplyColumns(store::ReadResult& read, const MgetOptions& options, resp::Reply& reply,
                    std::unique_ptr<LongReply>& rest);

// FORMAT safetensors: one bulk string (store/safetensors/safetensors.h). `partition` and the rows'
// keys stand in its metadata. REQUIRES: as ReplyColumns, and `read` has the keys. Errors: as
// PlanColumn.
Status ReplySafetensors(store::ReadResult& read, std::string_view partition,
                        const MgetOptions& options, resp::Reply& reply,
                        std::unique_ptr<LongReply>& rest);

// FORMAT rows: one entry a row, nil for one that is not there: [[name, dtype, shape, data], ...].
// Takes the pins of `read`.
void ReplyRows(store::ReadResult& read, resp::Reply& reply, std::unique_ptr<LongReply>& rest);

// FORMAT values: as rows, data as an array of texts. `torch` is needed for float16, bfloat16 and
// the 8-bit floats. Errors: kError where there are more than kTextValuesMax values in all.
inline constexpr std::size_t kTextValuesMax = std::size_t{1} << 20;
Status ReplyValues(store::ReadResult& read, const SluiceTorchApi* torch, resp::Reply& reply,
                   std::unique_ptr<LongReply>& rest);

}  // namespace sluice::server
