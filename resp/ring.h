// Ring: a queue that also pops from its back and keeps its memory when empty.
//
//   slots_:  | free | front ... back | free |      (wraps around; the size is a power of two)
//
// One caller at a time.
#pragma once

#include <cassert>
#include <cstddef>
#include <utility>
#include <vector>

namespace sluice::resp {

template <typename T>
class Ring {
 public:
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t Capacity() const { return slots_.size(); }

  // 0 is the front. REQUIRES: index < size().
  T& operator[](std::size_t index) { return slots_[Slot(index)]; }
  const T& operator[](std::size_t index) const { return slots_[Slot(index)]; }
  T& Front() { return (*this)[0]; }
  T& Back() { return (*this)[count_ - 1]; }
  const T& Back() const { return (*this)[count_ - 1]; }

  // Ensures that the next `count` calls of PushBack() do not throw. Errors: std::bad_alloc.
  void Reserve(std::size_t count) {
    while (count_ + count > slots_.size()) {
      Grow();
    }
  }
  void PushBack(T value) {
    Reserve(1);
    slots_[Slot(count_)] = std::move(value);
    ++count_;
  }
  // Destroys the element immediately. REQUIRES: not empty.
  void PopFront() noexcept {
    assert(count_ > 0);
    slots_[begin_] = T();
    begin_ = Slot(1);
    --count_;
  }
  void PopBack() noexcept {
    assert(count_ > 0);
    Back() = T();
    --count_;
  }

 private:
  [[nodiscard]] std::size_t Slot(std::size_t index) const {
    return (begin_ + index) & (slots_.size() - 1);
  }
  void Grow() {
    std::vector<T> bigger(slots_.empty() ? 8 : 2 * slots_.size());
    for (std::size_t i = 0; i < count_; ++i) {
      bigger[i] = std::move((*this)[i]);
    }
    slots_ = std::move(bigger);
    begin_ = 0;
  }

  std::vector<T> slots_;
  std::size_t begin_ = 0;
  std::size_t count_ = 0;
};

}  // namespace sluice::resp
