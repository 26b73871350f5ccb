// Connection: one connection without its socket: bytes in, commands run, bytes out.
//
//   ReadSpace() -> the socket fills it -> Received(n) -> Run() -> Output() -> the socket sends,
//   Sent(n)
//
// While requests do not run (Paused(), Blocked()) input continues by WatchSpace() and Watched(n).
// HeldBytesMax() is the most that one connection can make the server hold.
//
// The socket side is server/net/connection_socket.cc; tests drive this class directly.
// Thread safety: one caller at a time, always the same I/O thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "resp/reply.h"
#include "resp/request_parser.h"
#include "server/arguments/request.h"
#include "server/connection/backlog.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"
#include "server/dispatch/output_budget.h"

namespace sluice::server {

class Connection {
 public:
  // Requests wait while this much output is pending: bytes of scratch memory, and bytes in total.
  static constexpr std::size_t kPauseScratchBytes = std::size_t{1} << 20;
  static constexpr std::size_t kPauseBytes = std::size_t{64} << 20;
  // Input accepted while requests do not run, even if memory is short.
  static constexpr std::size_t kFreeInputBytes = std::size_t{1} << 20;
  // The most that one read requests, so that a large payload does not delay other connections.
  static constexpr std::size_t kReadBytesMax = std::size_t{1} << 20;

  // `server` and `stats` are borrowed. `wake` is called, from any thread and maybe under the engine
  // lock, when Run() or TakeMail() has work although nothing was received; not after the connection
  // has ended. `peer_gone` returns true if the peer has closed the connection; it is called from
  // any thread while a command is blocked. Errors: std::bad_alloc.
  Connection(
      Server& server, ThreadStats& stats, std::function<void()> wake = [] {},
      ConnectionAddress address = {}, std::function<bool()> peer_gone = [] { return false; });
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Registers the connection: others find it from now on, and `wake` may be called.
  // REQUIRES: called once, first. Errors: std::bad_alloc.
  void Begin() { server_.connections.Join(info_); }

  // Returns where to put the next bytes: the rest of a large argument, then the input buffer. One
  // part may be empty, not both. Errors: std::bad_alloc.
  std::array<std::span<char>, 2> ReadSpace();
  // `count` bytes were read into the parts of ReadSpace(), in order.
  void Received(std::size_t count);
  // The same while Paused() or Blocked(): the parser's memory stays unchanged, except for a large
  // argument that is being received. Empty: nothing may be read now.
  // Errors: std::bad_alloc.
  std::array<std::span<char>, 2> WatchSpace();
  void Watched(std::size_t count);
  [[nodiscard]] bool HasWatchSpace();

  // Runs complete requests until there are none, output must be sent first (Paused()), a command is
  // blocked (Blocked()), or the connection is to be closed. If HasMore() afterwards, the next piece
  // of a long reply is due or output held requests back: call Run() again without new input, once
  // not Paused() and after one turn of the event loop.
  void Run();
  [[nodiscard]] bool HasMore() const { return rest_ != nullptr || held_back_; }

  // Writes the mailbox to the output unless a reply is half written. Allowed while the socket reads
  // into ReadSpace().
  void TakeMail();

  // Returns true if a command is blocked: Run() does nothing until a notification
  // (ConnectionInfo::notifier) or until ResumeUs() on the server's clock. REQUIRES: nothing is read
  // into ReadSpace() while blocked.
  [[nodiscard]] bool Blocked() const { return blocked_ != nullptr; }
  // The blocked command waits for memory for its large argument, whose bytes must not be read yet.
  [[nodiscard]] bool BlockedUpload() const {
    return Blocked() && blocked_->GetKind() == BlockedCommand::Kind::kUpload;
  }
  [[nodiscard]] std::int64_t ResumeUs() const;
  // Ends the blocked command without a reply.
  void StopWaiting() noexcept;
  // The same, and gives back the deliveries of replies that the system did not take. Call it before
  // the socket is closed.
  void Abandon() noexcept;

  [[nodiscard]] resp::Reply& Output() { return reply_; }
  // Returns how many bytes of the output may be given to the system before Sent() is called: the
  // delivery of a reply is completed before the client can have the whole reply.
  [[nodiscard]] std::size_t SendableBytes() const;
  // The first `bytes` of Output() were sent.
  void Sent(std::size_t bytes) noexcept;
  // Returns true if output must shrink before Run() continues.
  [[nodiscard]] bool Paused() const;
  // Closing(): send Output(), then close. DropOutput(): close immediately.
  [[nodiscard]] bool Closing() const { return closing_; }
  [[nodiscard]] bool DropOutput() const { return drop_output_; }

  // Returns how many bytes one connection can make the server hold: input not run yet, requests
  // queued in MULTI, unsent replies and fixed buffers. Stored values are not included: each counts
  // against maxmemory once, as long as it is referenced. 0 if client-query-buffer-limit is 0.
  [[nodiscard]] static std::int64_t HeldBytesMax(const Config& config);

  [[nodiscard]] ConnectionInfo& GetInfo() { return info_; }

 private:
  void RunRequests();
  void RunRequest(engine::Engine::Turn& turn);
  bool WaitsForUnpause(engine::Engine::Turn& turn);
  void WriteRest(engine::Engine::Turn& turn);
  void TakeReplyMode(ReplyMode before, resp::Reply::Mark mark, bool pushes);
  void EndBlocked(engine::Engine::Turn& turn) noexcept;
  void NoteBlocked() noexcept;
  void NoteHandovers(engine::Engine::Turn& turn);
  void UnblockWithError(engine::Engine::Turn& turn);
  void WriteMails();
  void SetLimits();
  bool ResumeBlocked(engine::Engine::Turn& turn);
  [[nodiscard]] Context MakeContext(engine::Engine::Turn& turn);
  void KeepWhatWaits(Context& context);
  bool TakeBulk(engine::Engine::Turn& turn);
  [[nodiscard]] bool FindPlace(const Command& command);
  bool WaitForMemory(engine::Engine::Turn& turn, const Command& command);
  void DrainBulk(Status why);
  void ProtocolError();
  void EndRequest();
  [[nodiscard]] std::size_t InputBytes() const;
  void CheckLimits();
  void CloseOver(Counter& counter, std::string_view why);
  [[nodiscard]] std::size_t BufferedBytes() const;
  void ChargeInput();
  void NoteQuery() noexcept;
  void NoteOutput() noexcept;
  void Filled(std::size_t count);
  void FeedParser();
  [[nodiscard]] bool WatchesBulk();
  [[nodiscard]] const Command* CommandOfBulk();

  Server& server_;
  ThreadStats& stats_;
  resp::Limits limits_;
  resp::RequestParser parser_;
  Backlog backlog_;
  OutputBudget output_budget_;
  resp::Reply reply_;
  ConnectionInfo info_;
  Scratch scratch_;

  std::vector<store::Blob> large_;  // of the request being received; null: drained
  std::size_t bulk_filled_ = 0;     // bytes received of the last of large_
  std::int64_t overdraft_ = 0;      // bytes that the request may use beyond maxmemory
  Status drained_;                  // why a large argument was discarded
  std::vector<RequestArg> args_;
  std::unique_ptr<LongReply> rest_;          // of the reply to the last command
  std::unique_ptr<BlockedCommand> blocked_;  // the last command, not answered yet
  std::int64_t blocked_at_us_ = 0;
  bool muted_ = false;  // the reply of rest_ or blocked_ is discarded: CLIENT REPLY
  // handovers_: the deliveries of replies, by the end of each reply in the output.
  // deliveries_: those of the reply that rest_ writes.
  struct Handover {
    std::uint64_t end = 0;  // the delivery is done once the system has taken the output up to here
    std::unique_ptr<Delivery> delivery;
  };
  resp::Ring<Handover> handovers_;
  std::size_t wanting_taken_ = 0;  // of handovers_: those with WantsTaken()
  std::vector<std::unique_ptr<Delivery>> deliveries_;
  std::int64_t charged_ = 0;   // for input
  std::int64_t now_us_ = 0;    // when the last command ended, or the run began
  bool held_back_ = false;     // the last run ended early: there may be more requests
  bool watches_bulk_ = false;  // WatchSpace() is ReadSpace()
  bool ready_ = false;         // the parser has a request that output holds back
  std::size_t starved_ = 0;    // pending output when rest_ found no space; otherwise 0
  bool closing_ = false;
  bool drop_output_ = false;
};

}  // namespace sluice::server
