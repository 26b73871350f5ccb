#include "tests/chaos/watchdog.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

namespace sluice::tests::chaos {
namespace {

constexpr std::chrono::seconds kPatience{60};

}  // namespace

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Watchdog::Run() {
  std::unique_lock lock(mutex_);
  for (std::int64_t seen = -1; seen != scene_.replies;) {
    seen = scene_.replies;
    if (wake_.wait_for(lock, kPatience, [this] { return stop_; })) {
      return;
    }
  }
  Bark();
}

void Watchdog::Bark() {
  std::fprintf(stderr, "chaos: no reply for %d s\n", static_cast<int>(kPatience.count()));
  ++scene_.dumps;  // each thread prints what its connections wait for
  std::string list;
  try {
    list = scene_.server.Unix().Ask("CLIENT LIST").text;
  } catch (const std::exception& error) {
    list = error.what();
  }
  std::fprintf(stderr, "CLIENT LIST: %s\n", list.c_str());
  std::abort();
}

}  // namespace sluice::tests::chaos
