// SessionMachine: what a session does next, without its socket. It is told what happened, and
// answers with an action; server/net/session.cc does the I/O, tests need none.
//
//   serving --(the peer said its last)--> last requests --+
//      |                                                  +--> finishing --> closed
//      +--(close after this reply; blocked, peer gone)----+   (what waits is sent)
//
// Input is read whatever the output does; what stops while output waits, or a command is blocked,
// is running. Then a read may not use the parser's memory, so the socket is watched (kWatch) and
// taken from without waiting (kReceive) instead of read (kRead).
//
// What can throw is done through a function here, which takes back what it noted: nobody waits for
// something that did not begin.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::server {

class SocketMachine {
 public:
  enum class Action : std::uint8_t {
    kRead,         // wait for bytes in the parser's room
    kReceive,      // take what is there now, then let others have their turn
    kWatch,        // wait until there are bytes, or something else happens
    kWait,         // wait until something else happens
    kYield,        // let others have their turn
    kStopWaiting,  // the blocked command ends without an answer
    kLinger,       // say that nothing more comes, and wait for the peer to close
    kClose,
  };
  // After a run.
  struct Conversation {
    bool drop_output = false;  // close at once
    bool closing = false;      // send what waits, then close
    bool paused = false;       // output must shrink first
    bool more = false;         // Run() has something to do although nothing was received
    bool blocked = false;      // a command waits
    bool space = true;         // for input that is not run yet
  };
  enum class Output : std::uint8_t { kIdle, kDeferred, kWriting };

  // What Run() may still do: nothing once it is finishing.
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

  // Facts.
  void Ended() { ended_ = true; }           // the peer has nothing more to say
  void Broke() { broken_ = true; }          // the connection is of no use
  void Emptied() { readable_ = false; }     // nothing to be received now
  void Sent() { output_ = Output::kIdle; }  // what was deferred, or written, is done with
  void WatchEnded() {
    watching_ = false;
    readable_ = true;
  }

  // `begin` may throw: then nothing was begun.
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
  // kClose: nothing more is to be done but to send what waits.
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
  // First the state: what begins may end at once.
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
