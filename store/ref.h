// Ref: one count of an object that counts its owners itself. T has Retain() and Release(), which
// destroys it with the last count.
//
// Thread safety: as shared_ptr: copies may be used and dropped on different threads.
#pragma once

#include <utility>

namespace sluice::store {

template <typename T>
class Ref {
 public:
  Ref() = default;                                // null
  explicit Ref(T* adopted) : object_(adopted) {}  // takes over one count
  Ref(const Ref& other) noexcept : object_(other.object_) {
    if (object_ != nullptr) {
      object_->Retain();
    }
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) {
      object_->Release();
    }
  }

  [[nodiscard]] T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  // The caller has the count now.
  [[nodiscard]] T* Detach() { return std::exchange(object_, nullptr); }

 private:
  T* object_ = nullptr;
};

}  // namespace sluice::store
