// KV.MGET's replies: the *render* step, from pinned cells, without the engine.
//
// Payloads of 16 KiB and more go out by reference, neighbours in memory as one slice; what is
// smaller is copied to the reply's scratch. The reply holds the pins of what it refers to.
#pragma once

#include "resp/reply.h"
#include "store/rows.h"
#include "store/status.h"

struct SluiceTorchApi;

namespace sluice::server {

// FORMAT columns: one entry a field: [name, dtype, shape, shapes, data], with `dict` a sixth
// element. REQUIRES: `read` is strict. Takes the pins of `read`. Errors: kShape where the rows'
// ranks differ.
store::Status ReplyColumns(store::ReadResult& read, bool dict, resp::Reply& reply);

// FORMAT rows: one entry a row, nil for one that is not there: [[name, dtype, shape, data], ...].
// Takes the pins of `read`.
void ReplyRows(store::ReadResult& read, resp::Reply& reply);

// FORMAT values: as rows, data as an array of texts. `torch` is needed for float16, bfloat16 and
// the 8-bit floats. Errors: kError where there are more than kTextValuesMax values in all.
inline constexpr std::size_t kTextValuesMax = std::size_t{1} << 20;
store::Status ReplyValues(store::ReadResult& read, const SluiceTorchApi* torch, resp::Reply& reply);

}  // namespace sluice::server
