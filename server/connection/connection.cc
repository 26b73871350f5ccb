#include "server/connection/connection.h"

#include <new>
#include <utility>

#include <fmt/format.h>

#include "server/dispatch/dispatch.h"

namespace sluice::server {
namespace {

using engine::Engine;
using resp::RequestParser;

constexpr std::int64_t kRunUs = 1000;  // time for backlog requests before other connections run

// Makes ThreadStats::runs odd while it exists.
class CountedRun {
 public:
  explicit CountedRun(std::atomic<std::uint64_t>& runs) : runs_(runs) { runs_.fetch_add(1); }
  ~CountedRun() { runs_.fetch_add(1); }
  CountedRun(const CountedRun&) = delete;
  CountedRun& operator=(const CountedRun&) = delete;

 private:
  std::atomic<std::uint64_t>& runs_;
};

}  // namespace

Connection::Connection(Server& server, ThreadStats& stats, std::function<void()> wake,
                       ConnectionAddress address, std::function<bool()> peer_gone)
    : server_(server),
      stats_(stats),
      parser_(limits_),
      output_budget_(server.memory.GetBudget(), server.client_bytes),
      reply_(&output_budget_),
      info_(std::move(wake)) {
  info_.peer_gone = std::move(peer_gone);
  info_.id = server_.next_client_id.fetch_add(1, std::memory_order_relaxed);
  info_.address = std::move(address);
  info_.connected_us = server_.clock.NowUs();
  info_.active_us = info_.connected_us;
  info_.authenticated = !server_.wants_password;
}

Connection::~Connection() {
  Abandon();
  server_.connections.Leave(info_);  // from now on no other connection finds it
  server_.subscriptions.UnsubscribeAll(info_);
  server_.monitors.fetch_sub(info_.monitor ? 1 : 0);
  if (!info_.transaction.watched.empty() || info_.has_leases) {
    Engine::Turn turn(server_.engine, server_.clock);
    for (bool more = true; more; turn.Leave()) {
      engine::EngineLock& lock = turn.Enter();
      more = server_.key_watchers.ForgetSome(lock, info_) ||
             server_.streams.OnConnectionClosed(lock, info_.id);
    }
    stats_.disconnect_hold_us.Add(turn.TakeLongestHold());
  }
  server_.memory.GetBudget().Release(charged_);
  server_.client_bytes.fetch_sub(charged_, std::memory_order_relaxed);
}

void Connection::Run() {
  SetLimits();
  const CountedRun counted(stats_.runs);
  try {
    RunRequests();
  } catch (const std::bad_alloc&) {  // no memory even for an error: the client must not wait for it
    closing_ = drop_output_ = true;
  }
  TakeMail();
  NoteBlocked();
}

void Connection::RunRequests() {
  Engine::Turn turn(server_.engine, server_.clock);
  now_us_ = server_.clock.NowUs();
  held_back_ = false;
  const std::int64_t until_us = now_us_ + kRunUs;
  // A blocked command resumes even while output is pending: what it was offered is reserved for it,
  // and other waiters wait behind it.
  if (Paused() && rest_ != nullptr) {
    return;
  }
  if (rest_ != nullptr) {
    WriteRest(turn);
  }
  // While output is pending, one more request is received but not run, so that its large arguments
  // do not stay in the backlog.
  while (!closing_ && rest_ == nullptr && ResumeBlocked(turn)) {
    switch (std::exchange(ready_, false) ? RequestParser::Event::kRequest : parser_.Next()) {
      case RequestParser::Event::kNeedMore:
        if (backlog_.Empty()) {
          return;
        }
        FeedParser();
        if (now_us_ = server_.clock.NowUs(); now_us_ >= until_us) {
          held_back_ = true;  // let other connections run
          return;
        }
        break;
      case RequestParser::Event::kRequest:
        if (Paused()) {
          ready_ = held_back_ = true;
          return;
        }
        if (WaitsForUnpause(turn)) {
          return;
        }
        WriteMails();  // earlier messages are sent before the reply
        if (!closing_) {
          RunRequest(turn);
        }
        break;
      case RequestParser::Event::kBulk:
        turn.Leave();  // preparing a large argument does not need the engine lock
        if (!TakeBulk(turn)) {
          return;
        }
        break;
      case RequestParser::Event::kError:
        ProtocolError();
        break;
      case RequestParser::Event::kAbort:
        closing_ = drop_output_ = true;
        stats_.protocol_errors.Add(1);
        break;
    }
  }
}

void Connection::WriteRest(Engine::Turn& turn) {
  const resp::Reply::Mark mark = reply_.Prepare();
  const std::size_t before = reply_.PendingBytes();
  starved_ = 0;
  if (!rest_->Write(reply_)) {
    rest_ = nullptr;
  } else if (reply_.PendingBytes() == before) {
    starved_ = before;
  }
  if (muted_) {
    reply_.Rewind(mark);
  }
  NoteHandovers(turn);
}

bool Connection::Paused() const {
  const std::size_t scratch = reply_.ScratchBytes();
  return scratch >= kPauseScratchBytes || reply_.PendingBytes() >= kPauseBytes ||
         (starved_ != 0 && reply_.PendingBytes() >= starved_) ||
         (scratch >= OutputBudget::kFreeBytes / 2 && !reply_.HasSpace());
}

void Connection::RunRequest(Engine::Turn& turn) {
  for (const resp::Argument& arg : parser_.Args()) {
    RequestArg& last = args_.emplace_back(RequestArg{.text = arg.text, .blob = {}});
    if (arg.large >= 0) {
      last.blob = std::move(large_[static_cast<std::size_t>(arg.large)]);
    }
  }
  handovers_.Reserve(1);  // a reply that hands something over must not fail afterwards
  NoteQuery();
  Context context = MakeContext(turn);
  context.request = args_;
  const ReplyMode before = info_.reply_mode;
  const resp::Reply::Mark mark = reply_.Prepare();
  Dispatch(context, drained_);
  now_us_ = context.now_us;
  closing_ = closing_ || info_.close_after_reply || info_.close_now;
  drop_output_ = drop_output_ || info_.close_now;
  TakeReplyMode(before, mark, context.pushes);
  KeepWhatWaits(context);
  EndRequest();
  if (limits_.before_login == info_.authenticated) {
    SetLimits();
  }
}

// CLIENT REPLY: discards the reply if it is not to be sent.
void Connection::TakeReplyMode(ReplyMode before, resp::Reply::Mark mark, bool pushes) {
  ReplyMode& mode = info_.reply_mode;
  muted_ = Discards(mode) && !pushes;
  if (mode == ReplyMode::kSkipNext) {
    mode = ReplyMode::kSkip;
  } else if (mode == ReplyMode::kSkip && before == ReplyMode::kSkip) {
    mode = ReplyMode::kOn;
  }
  if (muted_) {
    reply_.Rewind(mark);
  }
}

Context Connection::MakeContext(Engine::Turn& turn) {
  return {.server = server_,
          .stats = stats_,
          .connection = info_,
          .turn = turn,
          .scratch = scratch_,
          .reply = reply_,
          .now_us = now_us_};
}

void Connection::EndRequest() {
  args_.clear();
  if (args_.capacity() > 1024) {
    args_ = {};
  }
  large_.clear();
  drained_ = {};
}

void Connection::ProtocolError() {
  stats_.protocol_errors.Add(1);
  closing_ = true;
  reply_.Error(fmt::format("ERR Protocol error: {}", parser_.ErrorText()));
}

}  // namespace sluice::server
