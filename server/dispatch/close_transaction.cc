#include "server/dispatch/close_transaction.h"

#include "server/dispatch/context.h"

namespace sluice::server {

void ForgetWatched(Context& context) noexcept {
  while (context.server.key_watchers.ForgetSome(context.turn.Enter(), context.connection)) {
    context.turn.Leave();
  }
}

void CloseTransaction(Context& context) noexcept {
  ConnectionInfo& connection = context.connection;
  ForgetWatched(context);
  connection.transaction = Transaction();
  connection.queued = -1;
}

}  // namespace sluice::server
