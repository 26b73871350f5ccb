// Macros for clang's thread-safety attributes, named as in clang's documentation, "Thread Safety
// Analysis". Other compilers ignore them. The preset `clang` checks them (-Wthread-safety, an
// error).
#pragma once

#if defined(__clang__)
#define SLUICE_ATTRIBUTE(x) __attribute__((x))
#else
#define SLUICE_ATTRIBUTE(x)
#endif

#define CAPABILITY(x) SLUICE_ATTRIBUTE(capability(x))
#define SCOPED_CAPABILITY SLUICE_ATTRIBUTE(scoped_lockable)
#define GUARDED_BY(x) SLUICE_ATTRIBUTE(guarded_by(x))
#define REQUIRES(...) SLUICE_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SLUICE_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) SLUICE_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) SLUICE_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) SLUICE_ATTRIBUTE(release_capability(__VA_ARGS__))
#define ASSERT_CAPABILITY(x) SLUICE_ATTRIBUTE(assert_capability(x))
#define NO_THREAD_SAFETY_ANALYSIS SLUICE_ATTRIBUTE(no_thread_safety_analysis)
