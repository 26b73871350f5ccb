#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tests/bench/buffers.h"
#include "tests/bench/net.h"
#include "tests/bench/touched_memory.h"

namespace sluice::bench {

// One stored value. Its memory belongs to its key; the next SET overwrites it.
struct Slot {
  TouchedMemory memory;
  std::size_t bytes = 0;
};

using Slots = std::unordered_map<std::string, Slot>;

// One connection of the bare program: understands PING, SET and GET as RESP arrays, replies in
// order, one request at a time, and closes on any other input. It makes the server's calls for
// payload: at most 1 MiB per call, scattered reads (rest of the value, input buffer).
// One caller at a time; `slots` must outlive it.
class BareConnection {
 public:
  enum class State { kWaiting, kMoreToDo, kClosed };

  BareConnection(Fd socket, Slots& slots) : socket_(std::move(socket)), slots_(slots) {}

  // Moves bytes until the socket would block (kWaiting: call again on the next edge), about 1 MiB
  // was moved (kMoreToDo: call again soon), or the peer has disconnected (kClosed).
  State Turn();

  const Fd& socket() const { return socket_; }

 private:
  enum class Progress { kDone, kBlocked, kFailed };

  Progress Read();
  Progress Write();
  // kDone: a request was taken from the input. kBlocked: more input is needed.
  Progress Parse();
  Progress BeginSet(std::string_view key, std::size_t bytes);
  Progress AnswerGet(std::string_view key);
  void Answer(std::string_view head, std::string_view payload, std::string_view tail);
  void TakePayloadFromInput();

  std::string_view Unread() const { return {input_.data() + begin_, end_ - begin_}; }
  std::size_t PayloadMissing() const { return slot_ == nullptr ? 0 : slot_->bytes - received_; }

  Fd socket_;
  Slots& slots_;
  std::array<char, std::size_t{16} << 10> input_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  Slot* slot_ = nullptr;  // the value being received, until its closing CRLF
  std::size_t received_ = 0;
  std::array<char, 32> head_{};
  Buffers reply_{};        // unsent output; empty buffers are done
  std::size_t moved_ = 0;  // bytes moved in this turn
};

}  // namespace sluice::bench
