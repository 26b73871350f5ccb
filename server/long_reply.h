// LongReply: the answer of a command that looks at more rows than one turn of the loop should. It
// is written a piece at a time, without the engine; between the pieces the I/O thread serves
// others, and while the client does not read, nothing is written.
//
// Thread safety: the I/O thread of its connection.
#pragma once

#include "resp/reply.h"

namespace sluice::server {

class LongReply {
 public:
  LongReply() = default;
  LongReply(const LongReply&) = delete;
  LongReply& operator=(const LongReply&) = delete;
  virtual ~LongReply() = default;

  // Does at most about a millisecond of work, of which something may be appended. True: call again.
  // Errors: std::bad_alloc; the connection ends then, since a part may be sent already.
  virtual bool Write(resp::Reply& reply) = 0;
};

}  // namespace sluice::server
