// Context: everything that a command handler may access.
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
  std::int64_t now_us = 0;  // clock time at which the current command began
  RequestView request = {};

  // A handler may set one of the two instead of replying; `rest` also after a part of the reply.
  std::unique_ptr<LongReply> rest = nullptr;
  std::unique_ptr<BlockedCommand> blocked = nullptr;
  // What the reply hands over; EXEC may have several.
  std::vector<std::unique_ptr<Delivery>> deliveries = {};
  bool may_block = true;        // false for a resumed command or one that may not block
  bool in_transaction = false;  // run by EXEC
  bool pushes = false;          // CLIENT REPLY does not discard the reply: it is a push, or EXEC's

  // Ends `rest` and `blocked`, and gives back the deliveries.
  void Forget() noexcept;
  ~Context() { Forget(); }  // has an effect only after an exception
};

}  // namespace sluice::server
