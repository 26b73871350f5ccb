// Waiter: a fetch that waits. Line: a sampler over a view, and its waiters in order of arrival.
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "base/status.h"
#include "controller/fetch.h"

namespace sluice::controller {

struct Line;
class View;

class Waiter {
 public:
  // `arrival`: the position among all waiters; unique.
  Waiter(Fetch wanted, std::int64_t arrival) : fetch(std::move(wanted)), arrival_(arrival) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  virtual ~Waiter() = default;

  // Returns true if the peer has closed the connection: the waiter must not get rows.
  virtual bool IsGone() noexcept { return false; }
  // Called before the waiter gets these rows, which its step got before; nothing changed yet. A
  // status that is not ok is the answer instead of the rows. Errors: std::bad_alloc.
  virtual Status Prepare(std::span<const RowIndex> rows) = 0;
  // Ends the wait with this answer: kRows, kNil, or an error.
  virtual void Answer(Result<Outcome> outcome, Fetched fetched) noexcept = 0;

  [[nodiscard]] std::int64_t Arrival() const { return arrival_; }
  [[nodiscard]] bool Waits() const { return line_ != nullptr; }

  const Fetch fetch;

 private:
  friend class Controller;
  std::int64_t arrival_;
  Line* line_ = nullptr;  // null if it does not wait
};

struct Line {
  View* view = nullptr;
  SamplerChoice choice;
  std::unique_ptr<Sampler> sampler;             // null: to be created again
  RowIndex told = 0;                            // sampler was notified of rows before it, or kAll
  std::map<std::int64_t, Waiter*> waiters;      // by arrival
  std::map<std::int64_t, std::int64_t> counts;  // rows wanted -> number of waiters
  bool changed = false;                         // since a waiter was last served

  // Returns the smallest number of rows that a waiter wants. REQUIRES: there is a waiter.
  [[nodiscard]] std::int64_t Least() const { return counts.begin()->first; }
};

}  // namespace sluice::controller
