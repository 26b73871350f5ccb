// Ledger: what one thread knows about its own rows of the partition `kept`. Each write has a
// sequence number, and its bytes are a function of key and number, so that what is found tells
// which write it comes from: the last that was acknowledged, or one whose answer is not known.
//
// Rows are put (the last write replaces the bytes) or grown (KV.APPEND: the pieces of all writes).
// A row has one command under way at a time. Where the connection ended before the answer, the row
// is retired: that write may have been carried out, or still be.
//
// Thread safety: its thread; the main one once that has ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/chaos/scene.h"

namespace sluice::tests::chaos {

// A command on a row whose answer is not known yet.
struct Promise {
  enum class Kind { kWrite, kClear, kRead };
  std::size_t row = 0;
  Kind kind = Kind::kRead;
  int sequence = 0;
  std::int64_t epoch = 0;  // FLUSHALLs done when it was sent
};

class Ledger {
 public:
  Ledger(Scene& scene, int thread) : scene_(scene), thread_(thread) {}

  // A row that is free for a command; nullopt where the one at this random position is not. Rows
  // are made as long as there are few that can be written.
  std::optional<std::size_t> Find(std::size_t random);
  Promise Begin(std::size_t row, Promise::Kind kind);
  void Done(const Promise& promise);
  void Refused(const Promise& promise);    // nothing was changed
  void Abandoned(const Promise& promise);  // nobody knows
  // `bytes`: the row's field, null where there is no such row. False, with a failure told, where
  // that cannot be.
  bool Check(std::size_t row, const std::string* bytes);

  [[nodiscard]] std::size_t Rows() const { return rows_.size(); }
  [[nodiscard]] std::string Key(std::size_t row) const;
  [[nodiscard]] bool Grows(std::size_t row) const { return row % 5 == 4; }
  [[nodiscard]] bool Retired(std::size_t row) const { return !rows_[row].abandoned.empty(); }
  // What write `sequence` sends.
  [[nodiscard]] std::string Bytes(std::size_t row, int sequence) const;

 private:
  struct Row {
    int sent = 0;                // the last sequence number
    std::vector<int> pieces;     // acknowledged writes of which it consists; none: there is no row
    std::vector<int> abandoned;  // writes; 0: a removal
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
