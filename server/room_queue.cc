#include "server/room_queue.h"

#include <utility>

namespace sluice::server {

RoomQueue::Ticket::~Ticket() {
  const std::lock_guard lock(queue_.mutex_);
  queue_.places_.erase(place_);
  if (queue_.places_.empty()) {
    queue_.budget_.SetListener(nullptr);
  }
  queue_.WakeThoseThatFit();  // what it was granted and did not use is free for the next
}

void RoomQueue::Ticket::Refused() {
  const std::lock_guard lock(queue_.mutex_);
  place_->woken = false;
  place_->refused = !std::exchange(place_->again, false);
  queue_.WakeThoseThatFit();  // itself again, or others with what it was granted
}

std::unique_ptr<RoomQueue::Ticket> RoomQueue::Join(std::int64_t need,
                                                   std::shared_ptr<Waker> waker) {
  const std::lock_guard lock(mutex_);
  places_.push_back(
      {.need = need, .waker = std::move(waker), .thread = std::this_thread::get_id()});
  std::unique_ptr<Ticket> ticket;
  try {
    ticket.reset(new Ticket(*this, std::prev(places_.end())));
  } catch (...) {
    places_.pop_back();
    throw;
  }
  budget_.SetListener(this);
  WakeThoseThatFit();
  return ticket;
}

void RoomQueue::Released() noexcept {
  const std::lock_guard lock(mutex_);
  for (Ticket::Place& place : places_) {
    place.refused = false;
    place.again = place.again || (place.woken && place.thread != std::this_thread::get_id());
  }
  WakeThoseThatFit();
}

void RoomQueue::WakeThoseThatFit() noexcept {
  const std::int64_t limit = budget_.Limit();
  std::int64_t used = budget_.Used();  // with what those that are woken will take
  for (Ticket::Place& place : places_) {
    if (!place.woken && !place.refused && place.need <= limit - used) {
      place.woken = true;
      place.waker->Wake();
    }
    used += place.woken ? place.need : 0;
  }
}

}  // namespace sluice::server
