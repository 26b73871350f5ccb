// EngineLock: the proof that the caller holds the engine lock. Only Engine hands one out: from a
// Turn, or from Held() to code that the holder calls without one, such as a store listener. So a
// call of a function that takes an `EngineLock&` does not compile without acquiring the lock.
// Guarded<T> is an object that only the holder of the lock can reach.
//
// Costs nothing at run time. Builds with assertions also check that the lock was not released
// since it was handed out. clang checks the same by `engine_role`.
#pragma once

#include <cassert>

#include "base/thread_annotations.h"

namespace sluice::engine {

// The capability that clang's analysis gives the holder of the engine lock: one per server.
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

// Borrows `object`, which must outlive the Guarded.
template <typename T>
class Guarded {
 public:
  Guarded(T& object) : object_(object) {}  // NOLINT(google-explicit-constructor)

  T& operator()([[maybe_unused]] const EngineLock& lock) const REQUIRES(engine_role) {
    assert(lock.Held());
    return object_;
  }
  // For the composition root, which passes the object to parts that run under the lock themselves.
  [[nodiscard]] T& Wiring() const { return object_; }

 private:
  T& object_;
};

}  // namespace sluice::engine
