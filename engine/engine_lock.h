// EngineLock: the proof that the caller holds the engine lock. Only Engine::Turn makes one, so what
// takes an `EngineLock&` cannot be called without it: forgetting to acquire the lock does not
// compile. Guarded<T> is a thing that only the holder reaches.
//
// Costs nothing at run time; the builds with assertions also check that the lock was not released
// since. clang checks the same by `engine_role`.
#pragma once

#include <cassert>

#include "base/thread_annotations.h"

namespace sluice::engine {

// What clang's analysis takes the holder of the engine lock to have: one server, one engine lock.
class CAPABILITY("engine lock") EngineRole {};
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): only the analysis names it
inline EngineRole engine_role;

class EngineLock {
 public:
  EngineLock(const EngineLock&) = delete;
  EngineLock& operator=(const EngineLock&) = delete;

  [[nodiscard]] bool Held() const { return held_; }

 private:
  friend class Engine;
  EngineLock() = default;
  bool held_ = false;
};

// Borrows `object`, which must outlive it.
template <typename T>
class Guarded {
 public:
  Guarded(T& object) : object_(object) {}  // NOLINT(google-explicit-constructor)

  T& operator()([[maybe_unused]] const EngineLock& lock) const REQUIRES(engine_role) {
    assert(lock.Held());
    return object_;
  }
  // For the composition root, which hands it to those that are under the lock themselves.
  [[nodiscard]] T& Wiring() const { return object_; }

 private:
  T& object_;
};

}  // namespace sluice::engine
