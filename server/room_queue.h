// RoomQueue: the writes with BLOCK that wait for memory, in order of arrival. Whenever memory is
// given back, those that it has room for are woken; one that needs more than there is is passed
// over.
//
// Thread safety: any thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "server/parked.h"
#include "store/budget.h"

namespace sluice::server {

class RoomQueue final : public store::ReleaseListener {
 public:
  // `budget` is borrowed and must outlive the queue.
  explicit RoomQueue(store::Budget& budget) : budget_(budget) {}

  class Ticket {
   public:
    ~Ticket();  // leaves the queue
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    // It was woken, tried, and there was no room after all: not before some more is given back
    // (or was, by another thread, while it tried). REQUIRES: the thread that joined.
    void Refused();

   private:
    friend class RoomQueue;
    struct Place {
      std::int64_t need;
      std::shared_ptr<Waker> waker;
      std::thread::id thread;  // where it tries: what its own attempt gives back does not count
      bool woken = false;      // and not refused yet
      bool refused = false;    // since memory was last given back
      bool again = false;      // some was, after it was woken
    };
    Ticket(RoomQueue& queue, std::list<Place>::iterator place) : queue_(queue), place_(place) {}
    RoomQueue& queue_;
    std::list<Place>::iterator place_;
  };

  // Waits for `need` bytes; woken at once where there is room for them. Errors: std::bad_alloc.
  [[nodiscard]] std::unique_ptr<Ticket> Join(std::int64_t need, std::shared_ptr<Waker> waker);

  void Released() noexcept override;

 private:
  void WakeThoseThatFit() noexcept;

  store::Budget& budget_;
  std::mutex mutex_;
  std::list<Ticket::Place> places_;  // in order of arrival
};

}  // namespace sluice::server
