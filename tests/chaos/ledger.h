// Ledger: the state of one thread's own rows of the partition `kept`. Each write has a sequence
// number, and its bytes are a function of key and number, so that the bytes found identify their
// write: the last acknowledged one, or one whose reply is unknown.
//
// Rows are put (the last write replaces the bytes) or grown (KV.APPEND: the pieces of all writes).
// A row has one command in flight at a time. If the connection ended before the reply, the row is
// retired: the write may have run, or may still run.
//
// Thread safety: its thread; the main thread after its thread has ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/chaos/scene.h"

namespace sluice::tests::chaos {

// A command on a row whose reply is not known yet.
struct Promise {
  enum class Kind { kWrite, kClear, kRead };
  std::size_t row = 0;
  Kind kind = Kind::kRead;
  int sequence = 0;
  std::int64_t epoch = 0;  // FLUSHALLs completed when it was sent
};

class Ledger {
 public:
  Ledger(Scene& scene, int thread) : scene_(scene), thread_(thread) {}

  // Returns a row that is free for a command; nullopt if the row at this random position is not
  // free. Adds rows while few can be written.
  std::optional<std::size_t> Find(std::size_t random);
  Promise Begin(std::size_t row, Promise::Kind kind);
  void Done(const Promise& promise);
  void Refused(const Promise& promise);    // no change was made
  void Abandoned(const Promise& promise);  // result unknown
  // `bytes`: the row's field, null if the row does not exist. Returns false, and reports a failure,
  // if these bytes are impossible.
  bool Check(std::size_t row, const std::string* bytes);

  [[nodiscard]] std::size_t Rows() const { return rows_.size(); }
  [[nodiscard]] std::string Key(std::size_t row) const;
  [[nodiscard]] bool Grows(std::size_t row) const { return row % 5 == 4; }
  [[nodiscard]] bool Retired(std::size_t row) const { return !rows_[row].abandoned.empty(); }
  // Returns the bytes that write `sequence` sends.
  [[nodiscard]] std::string Bytes(std::size_t row, int sequence) const;

 private:
  struct Row {
    int sent = 0;                // the last sequence number
    std::vector<int> pieces;     // acknowledged writes whose bytes it has; empty if no row
    std::vector<int> abandoned;  // writes with unknown result; 0: a removal
    std::int64_t epoch = 0;      // of the first of `pieces`
    bool busy = false;
  };
  [[nodiscard]] bool Fits(std::size_t row, const std::vector<int>& pieces,
                          std::string_view bytes) const;
  [[nodiscard]] bool Possible(std::size_t row, const std::string* bytes) const;

  Scene& scene_;
  int thread_;
  std::vector<Row> rows_;
};

}  // namespace sluice::tests::chaos
