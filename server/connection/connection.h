// Connection: one client's conversation without its socket: bytes in, commands run, bytes out.
//
//   ReadRoom() -> the socket fills it -> Received(n) -> Run() -> Output() -> the socket sends,
//   Sent(n)
//
// While requests do not run (Paused(), Blocked...) input goes on in WatchRoom(), Watched(n).
// What one connection can make the server hold: HeldBytesMax().
//
// The socket's side is server/net/session.cc; tests drive this class directly.
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
  // Requests wait while so much output does: bytes of our own scratch memory, and bytes in all.
  static constexpr std::size_t kPauseScratchBytes = std::size_t{1} << 20;
  static constexpr std::size_t kPauseBytes = std::size_t{64} << 20;
  // So much input is taken while requests do not run even where memory is short.
  static constexpr std::size_t kFreeInputBytes = std::size_t{1} << 20;
  // No read asks for more at once, so that one connection's payload does not hold up the others.
  static constexpr std::size_t kReadBytesMax = std::size_t{1} << 20;

  // `server` and `stats` are borrowed. `wake` is called, from any thread and maybe under the
  // engine, when Run() or TakeMail() has something to do although nothing was received; not once
  // the connection has ended. Errors: std::bad_alloc. `peer_gone`: has the peer hung up? From any
  // thread, while a command is blocked.
  Connection(
      Server& server, ThreadStats& stats, std::function<void()> wake = [] {},
      ConnectionAddress address = {}, std::function<bool()> peer_gone = [] { return false; });
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // To be called once, first: from now on others find the client, and `wake` may be called.
  // Errors: std::bad_alloc.
  void Begin() { server_.connections.Join(info_); }

  // Where the next bytes go: the rest of a large argument first, then the input buffer. Either part
  // may be empty, not both. Errors: std::bad_alloc.
  std::array<std::span<char>, 2> ReadSpace();
  // `count` bytes were read into ReadRoom()'s parts, in order.
  void Received(std::size_t count);
  // The same while Run() is Paused() or Blocked(): then the parser's memory stays as it is, but for
  // a large argument that is being received. Empty: nothing may be read now.
  // Errors: std::bad_alloc.
  std::array<std::span<char>, 2> WatchSpace();
  void Watched(std::size_t count);
  [[nodiscard]] bool HasWatchSpace();

  // Runs the requests that are complete, until there is none, output must be sent first (Paused()),
  // a command is blocked (Blocked()), or the connection is to be closed. Where HasMore()
  // afterwards, the next piece of a long reply is due, or requests were held back by output: call
  // it again although nothing was received, once it is not Paused() and after a turn of the loop
  // for others.
  void Run();
  [[nodiscard]] bool HasMore() const { return rest_ != nullptr || held_back_; }

  // What others have for this client (its mailbox) becomes output, if no reply is half written.
  // Also while the socket is read into ReadRoom().
  void TakeMail();

  // A command waits, and Run() does nothing, until it is notified (client.notifier) or ResumeUs()
  // of the server's clock. REQUIRES: nothing is read into ReadRoom() meanwhile.
  [[nodiscard]] bool Blocked() const { return blocked_ != nullptr; }
  // It waits for memory for its large argument, whose bytes are not to be read before.
  [[nodiscard]] bool BlockedUpload() const {
    return Blocked() && blocked_->GetKind() == BlockedCommand::Kind::kUpload;
  }
  [[nodiscard]] std::int64_t ResumeUs() const;
  // The blocked command ends without an answer.
  void StopWaiting() noexcept;
  // The same, and what replies hand over and the system did not take is given back. To be called
  // before the socket is closed.
  void Abandon() noexcept;

  [[nodiscard]] resp::Reply& Output() { return reply_; }
  // The first `bytes` of Output() were sent.
  // How many bytes of the output may be given to the system before Sent() is called: a delivery
  // that waits for them is done before the client can have its whole reply.
  [[nodiscard]] std::size_t SendableBytes() const;
  void Sent(std::size_t bytes) noexcept;
  // Output must shrink before Run() goes on.
  [[nodiscard]] bool Paused() const;
  // Send what is in Output(), then close. DropOutput(): close at once.
  [[nodiscard]] bool Closing() const { return closing_; }
  [[nodiscard]] bool DropOutput() const { return drop_output_; }

  // What a connection can make the server hold, in bytes, but for values that are stored (each
  // counts against maxmemory once, as long as anybody holds it): input that is not run yet and what
  // MULTI keeps, replies made but not sent, and fixed buffers. 0: client-query-buffer-limit is 0.
  [[nodiscard]] static std::int64_t HeldBytesMax(const Config& config);

  [[nodiscard]] ConnectionInfo& GetInfo() { return info_; }

 private:
  void RunRequests();
  void RunRequest(engine::Engine::Turn& turn);
  bool WaitsForUnpause(engine::Engine::Turn& turn);
  void WriteRest(engine::Engine::Turn& turn);
  void TakeReplyMode(ReplyMode before, resp::Reply::Mark mark);
  void EndBlocked(engine::Engine::Turn& turn) noexcept;
  void NoteBlocked() noexcept;
  void NoteHandovers(engine::Engine::Turn& turn);
  void UnblockWithError(engine::Engine::Turn& turn);
  void WriteMails();
  [[nodiscard]] bool Wanted(const Mail& mail) const;
  void WriteMail(const Mail& mail);
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
  std::int64_t overdraft_ = 0;      // what the request may take beyond maxmemory
  Status drained_;                  // why a large argument was thrown away
  std::vector<RequestArg> args_;
  std::unique_ptr<LongReply> rest_;          // of the reply to the last command
  std::unique_ptr<BlockedCommand> blocked_;  // the last command, which is not answered yet
  std::int64_t blocked_at_us_ = 0;
  bool muted_ = false;  // what rest_ or blocked_ answers is thrown away: CLIENT REPLY
  // What replies hand over, by the end of each in the output; and of the reply that rest_ writes.
  struct Handover {
    std::uint64_t end = 0;  // the delivery is done once the system has taken the output up to here
    std::unique_ptr<Delivery> delivery;
  };
  resp::Ring<Handover> handovers_;
  std::vector<std::unique_ptr<Delivery>> deliveries_;
  std::vector<Mail> mails_;    // scratch
  std::int64_t charged_ = 0;   // for input
  std::int64_t now_us_ = 0;    // when the last command ended, or the run began
  bool held_back_ = false;     // the last run ended early: there may be more requests
  bool watches_bulk_ = false;  // WatchRoom() is ReadRoom()
  bool ready_ = false;         // the parser has a request, which output holds back
  std::size_t starved_ = 0;    // not 0: rest_ found no room while so much output waited
  bool closing_ = false;
  bool drop_output_ = false;
};

}  // namespace sluice::server
