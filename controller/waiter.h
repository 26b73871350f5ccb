// Waiter: a fetch that waits. Line: a sampler over a view, and those that wait for it, in order of
// arrival.
//
// Thread safety: one caller at a time (the engine).
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
  // `arrival`: its place among all that wait; others' differ.
  Waiter(Fetch wanted, std::int64_t arrival) : fetch(std::move(wanted)), arrival_(arrival) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  virtual ~Waiter() = default;

  // Its client has hung up: it is not to get rows.
  virtual bool IsGone() noexcept { return false; }
  // It is to get these rows, which its step has got before; nothing changed yet. Not ok: it cannot
  // be answered with them, and this is its answer. Errors: std::bad_alloc.
  virtual Status Prepare(std::span<const RowIndex> rows) = 0;
  // It waits no more, and this is its answer: kRows, kNil, or an error.
  virtual void Answer(Result<Outcome> outcome, Fetched fetched) noexcept = 0;

  [[nodiscard]] std::int64_t Arrival() const { return arrival_; }
  [[nodiscard]] bool Waits() const { return line_ != nullptr; }

  const Fetch fetch;

 private:
  friend class Controller;
  std::int64_t arrival_;
  Line* line_ = nullptr;  // in which it waits
};

struct Line {
  View* view = nullptr;
  SamplerChoice choice;
  std::unique_ptr<Sampler> sampler;             // null: to be made anew
  RowIndex told = 0;                            // it knows the rows before this one; kAll: all
  std::map<std::int64_t, Waiter*> waiters;      // by arrival
  std::map<std::int64_t, std::int64_t> counts;  // how many of them want so many rows
  bool changed = false;                         // since somebody was served

  // What the one that wants least wants. REQUIRES: somebody waits.
  [[nodiscard]] std::int64_t Least() const { return counts.begin()->first; }
};

}  // namespace sluice::controller
