#include "tests/chaos/ledger.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace sluice::tests::chaos {
namespace {

constexpr std::size_t kWritableRows = 24;
constexpr std::size_t kRowsMax = 400;
constexpr std::size_t kPieceBytes = 300;  // of a growing row

std::uint64_t Mix(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

// Most are small; some are received directly into a blob; a few take several reads.
std::size_t SizeOf(std::uint64_t random) {
  if (random % 300 == 0) {
    return 2000000 + random % 100000;
  }
  if (random % 40 == 0) {
    return 100000 + random % 200000;
  }
  return random % 8 == 0 ? 16000 + random % 20000 : 10 + random % 500;
}

}  // namespace

std::string Ledger::Key(std::size_t row) const {
  return fmt::format("t{}r{}", thread_, row);
}

std::string Ledger::Bytes(std::size_t row, int sequence) const {
  std::uint64_t state = Mix(Mix(static_cast<std::uint64_t>(thread_) << 32U | row) +
                            static_cast<std::uint64_t>(sequence));
  std::string bytes(Grows(row) ? kPieceBytes : SizeOf(state), '\0');
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(state)) {
    state = Mix(state);
    std::memcpy(bytes.data() + at, &state, std::min(sizeof(state), bytes.size() - at));
  }
  return bytes;
}

std::optional<std::size_t> Ledger::Find(std::size_t random) {
  const auto retired = static_cast<std::size_t>(std::count_if(
      rows_.begin(), rows_.end(), [](const Row& row) { return !row.abandoned.empty(); }));
  if (rows_.size() - retired < kWritableRows && rows_.size() < kRowsMax) {
    rows_.emplace_back();
    return rows_.size() - 1;
  }
  const std::size_t row = random % rows_.size();
  return rows_[row].busy ? std::nullopt : std::optional(row);
}

Promise Ledger::Begin(std::size_t row, Promise::Kind kind) {
  Row& known = rows_[row];
  known.busy = true;
  return {.row = row,
          .kind = kind,
          .sequence = kind == Promise::Kind::kWrite ? ++known.sent : 0,
          .epoch = scene_.flushes_done};
}

void Ledger::Done(const Promise& promise) {
  Row& row = rows_[promise.row];
  row.busy = false;
  if (promise.kind == Promise::Kind::kRead) {
    return;
  }
  if (promise.kind == Promise::Kind::kClear || !Grows(promise.row)) {
    row.pieces.clear();
  }
  if (promise.kind == Promise::Kind::kWrite) {
    row.epoch = row.pieces.empty() ? promise.epoch : row.epoch;
    row.pieces.push_back(promise.sequence);
  }
}

void Ledger::Refused(const Promise& promise) {
  rows_[promise.row].busy = false;
}

void Ledger::Abandoned(const Promise& promise) {
  Row& row = rows_[promise.row];
  row.busy = false;
  if (promise.kind != Promise::Kind::kRead) {
    row.abandoned.push_back(promise.sequence);
  }
}

// After FLUSHALL a growing row has lost its first pieces.
bool Ledger::Fits(std::size_t row, const std::vector<int>& pieces, std::string_view bytes) const {
  for (std::size_t left = pieces.size(); left > 0 && !bytes.empty(); --left) {
    const std::string piece = Bytes(row, pieces[left - 1]);
    if (!bytes.ends_with(piece)) {
      return false;
    }
    bytes.remove_suffix(piece.size());
    if (left > 1 && bytes.empty() && rows_[row].epoch == scene_.flushes_begun) {
      return false;
    }
  }
  return bytes.empty() && !pieces.empty();
}

bool Ledger::Possible(std::size_t row, const std::string* bytes) const {
  const Row& known = rows_[row];
  std::vector<std::vector<int>> possible = {known.pieces};
  for (const int sequence : known.abandoned) {
    possible.push_back(Grows(row) && sequence != 0 ? known.pieces : std::vector<int>());
    if (sequence != 0) {
      possible.back().push_back(sequence);
    }
  }
  if (bytes == nullptr) {
    return known.epoch != scene_.flushes_begun ||
           std::any_of(possible.begin(), possible.end(),
                       [](const auto& pieces) { return pieces.empty(); });
  }
  return std::any_of(possible.begin(), possible.end(),
                     [&](const auto& pieces) { return Fits(row, pieces, *bytes); });
}

bool Ledger::Check(std::size_t row, const std::string* bytes) {
  if (Possible(row, bytes)) {
    return true;
  }
  const Row& known = rows_[row];
  int last = 0;  // the last write whose bytes are a suffix of these
  for (int sequence = known.sent; bytes != nullptr && sequence > 0 && last == 0; --sequence) {
    last = bytes->ends_with(Bytes(row, sequence)) ? sequence : 0;
  }
  scene_.Fail(fmt::format(
      "row {}: found {}; acknowledged: write {} of {} (0: its removal), {} more are uncertain",
      Key(row),
      bytes == nullptr ? "no row" : fmt::format("{} bytes, last write {}", bytes->size(), last),
      known.pieces.empty() ? 0 : known.pieces.back(), known.sent, known.abandoned.size()));
  return false;
}

}  // namespace sluice::tests::chaos
