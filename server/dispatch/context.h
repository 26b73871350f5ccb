// Context: all that a command handler may touch.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "resp/reply.h"
#include "server/arguments/request.h"
#include "server/dispatch/blocked_command.h"
#include "server/dispatch/long_reply.h"
#include "server/dispatch/scratch.h"
#include "server/dispatch/server.h"

namespace sluice::server {

struct Context {
  Server& server;
  ThreadStats& stats;
  ConnectionInfo& connection;
  engine::Engine::Turn& turn;
  Scratch& scratch;
  resp::Reply& reply;
  std::int64_t now_us = 0;  // of the clock, when the current command began
  RequestView request = {};

  // A handler may set one of the two instead of answering, or, the first, after a part of the
  // answer.
  std::unique_ptr<LongReply> rest = nullptr;
  std::unique_ptr<BlockedCommand> blocked = nullptr;
  // What the reply hands over; several in EXEC.
  std::vector<std::unique_ptr<Delivery>> deliveries = {};
  bool may_block = true;        // false: a command that is resumed, or may not wait
  bool in_transaction = false;  // EXEC runs it

  // Ends what the handler left behind, and gives back what its reply would have handed over.
  void Forget() noexcept;
  ~Context() { Forget(); }  // where an exception is thrown; otherwise nothing is left
};

}  // namespace sluice::server
