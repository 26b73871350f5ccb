// Waiter: a fetch that waits. Line: a sampler over a view, and its waiters in order of arrival.
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <tuple>

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

// What a waiter of a line wants, and its arrival. Those that want the same get the same answer, so
// only the first of them, the head, need be looked at.
struct Wish {
  std::int64_t count = 0;
  std::int64_t last = 0;
  std::int64_t arrival = 0;

  [[nodiscard]] bool WantsAs(const Wish& other) const {
    return count == other.count && last == other.last;
  }

  friend bool operator<(const Wish& a, const Wish& b) {
    return std::tie(a.count, a.last, a.arrival) < std::tie(b.count, b.last, b.arrival);
  }
};

struct Line {
  View* view = nullptr;
  SamplerChoice choice;
  std::unique_ptr<Sampler> sampler;  // null: to be created again
  RowIndex told = 0;                 // sampler was notified of rows before it, or kAll
  std::map<Wish, Waiter*> waiters;
  std::map<std::int64_t, Waiter*> heads;  // the first waiter of each wish, by arrival
  bool changed = false;                   // since a waiter was last served

  // Errors: std::bad_alloc; nothing changed then.
  void Join(Waiter& waiter);
  void Leave(const Waiter& waiter) noexcept;
  // Returns the next waiter with the same wish; null if there is none.
  [[nodiscard]] Waiter* After(const Waiter& waiter) const noexcept;
};

}  // namespace sluice::controller
