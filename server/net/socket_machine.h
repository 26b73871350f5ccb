// SocketMachine: decides what a connection does next, without its socket. The caller reports events
// and gets an action; server/net/connection_socket.cc does the I/O, tests need none.
//
//   serving --(peer sends no more)-----------> last requests --+
//      |                                                       +--> finishing --> closed
//      +--(close after this reply; blocked and peer gone)------+   (pending output is sent)
//
// Input is always read, whatever the output does; requests do not run while output is pending or a
// command is blocked. A read may not use the parser's memory then, so the socket is watched
// (kWatch) and read without waiting (kReceive) instead of read normally (kRead).
//
// An operation that can throw is started through a function here that restores the state, so that
// nothing waits for an operation that did not begin.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::server {

class SocketMachine {
 public:
  enum class Action : std::uint8_t {
    kRead,         // wait for bytes and read them into the parser's memory
    kReceive,      // read what is available now, then yield
    kWatch,        // wait for bytes or another event
    kWait,         // wait for another event
    kYield,        // let other connections run
    kStopWaiting,  // end the blocked command without a reply
    kLinger,       // shut down sending, and wait for the peer to close
    kClose,
  };
  // The state of the connection after a run.
  struct Conversation {
    bool drop_output = false;  // close immediately
    bool closing = false;      // send pending output, then close
    bool paused = false;       // output must shrink first
    bool more = false;         // Run() has work although nothing was received
    bool blocked = false;      // a command is blocked
    bool space = true;         // there is space for input that is not run yet
  };
  enum class Output : std::uint8_t { kIdle, kDeferred, kWriting };

  // Returns true if Run() may still be called.
  [[nodiscard]] bool Serving() const { return !finishing_; }
  [[nodiscard]] bool Finishing() const { return finishing_; }
  [[nodiscard]] bool HasEnded() const { return ended_; }
  [[nodiscard]] bool Broken() const { return broken_; }
  [[nodiscard]] bool Watching() const { return watching_; }
  [[nodiscard]] Output GetOutput() const { return output_; }

  Action Next(const Conversation& now) {
    if (now.drop_output || broken_) {
      return Action::kClose;
    }
    if (!finishing_ && !now.closing) {
      const Action action = Serve(now);
      finishing_ = action == Action::kStopWaiting;
      if (action != Action::kClose) {
        return action;
      }
    }
    finishing_ = true;
    if (output_ != Output::kIdle) {
      return Action::kWait;
    }
    return now.closing ? Action::kLinger : Action::kClose;
  }

  // Events.
  void Ended() { ended_ = true; }           // the peer sends no more
  void Broke() { broken_ = true; }          // the connection is broken
  void Emptied() { readable_ = false; }     // nothing can be received now
  void Sent() { output_ = Output::kIdle; }  // the deferred send or the write has ended
  void WatchEnded() {
    watching_ = false;
    readable_ = true;
  }

  // `begin` starts the operation. If it throws, nothing was started.
  template <typename Begin>
  void Watch(const Begin& begin) {
    if (!watching_) {
      begin();
      watching_ = true;
    }
  }
  template <typename Begin>
  void Defer(const Begin& begin) {
    To(Output::kDeferred, begin);
  }
  template <typename Begin>
  void Write(const Begin& begin) {
    To(Output::kWriting, begin);
  }

 private:
  // kClose: only pending output is left to send.
  [[nodiscard]] Action Serve(const Conversation& now) const {
    if (now.blocked && ended_) {
      return Action::kStopWaiting;
    }
    if (now.paused || now.blocked) {
      if (ended_ || !now.space) {
        return Action::kWait;
      }
      return readable_ ? Action::kReceive : Action::kWatch;
    }
    if (now.more) {
      return Action::kYield;
    }
    return ended_ ? Action::kClose : Action::kRead;
  }
  // Sets the state first: the operation may end immediately.
  template <typename Begin>
  void To(Output output, const Begin& begin) {
    const Output before = output_;
    output_ = output;
    try {
      begin();
    } catch (...) {
      output_ = before;
      throw;
    }
  }

  Output output_ = Output::kIdle;
  bool ended_ = false;
  bool broken_ = false;
  bool finishing_ = false;
  bool readable_ = false;
  bool watching_ = false;
};

}  // namespace sluice::server
