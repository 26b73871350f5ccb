#include "server/registry/messages.h"

#include <memory>
#include <new>
#include <vector>

namespace sluice::server {
namespace {

// Keeps a message until its payload is sent.
struct Kept {
  std::shared_ptr<const Message> message;
  static void Release(void* kept) noexcept { delete static_cast<Kept*>(kept); }
};

// Returns false if the client has unsubscribed since the message was published, and the
// confirmation was sent. In RESP2 a message now would be taken for the reply of the next command.
bool Wanted(const ConnectionInfo& connection, const Mail& mail) {
  const Subscriptions& names = connection.subscriptions;
  switch (mail.message->kind) {
    case Message::Kind::kMonitor:
      return connection.monitor;
    case Message::Kind::kShard:
      return names.shards.contains(mail.message->channel);
    case Message::Kind::kChannel:
      break;
  }
  return mail.pattern != nullptr ? names.patterns.contains(*mail.pattern)
                                 : names.channels.contains(mail.message->channel);
}

void WriteMail(const Mail& mail, resp::Reply& reply) {
  const Message& message = *mail.message;
  if (message.kind == Message::Kind::kMonitor) {
    reply.Simple(message.text);
    return;
  }
  const bool shard = message.kind == Message::Kind::kShard;
  reply.Push(mail.pattern != nullptr ? 4 : 3);
  reply.Bulk(mail.pattern != nullptr ? "pmessage" : shard ? "smessage" : "message");
  if (mail.pattern != nullptr) {
    reply.Bulk(*mail.pattern);
  }
  reply.Bulk(message.channel);
  if (message.blob.IsNull()) {
    reply.Bulk(message.text);
    return;
  }
  auto kept = std::make_unique<Kept>(Kept{mail.message});
  reply.BeginPayload(message.blob.size());
  reply.Reference(message.blob.View());
  reply.EndPayload();
  reply.Hold(resp::Pin(kept.release(), Kept::Release));
}

}  // namespace

bool WriteMessages(ConnectionInfo& connection, resp::Reply& reply) noexcept {
  std::vector<Mail> mails;
  if (!connection.mailbox.Take(mails)) {
    return true;
  }
  try {
    for (const Mail& mail : mails) {
      if (Wanted(connection, mail)) {
        WriteMail(mail, reply);
      }
    }
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

}  // namespace sluice::server
