// FlushQueue: the connections of one I/O thread whose small replies are sent at the end of the
// loop's turn.
//
// All connections that became readable together are served first, then all their replies are sent:
// a client with many connections is woken once, not once per reply (measured: see
// docs/architecture.md).
//
// Thread safety: its I/O thread only.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace sluice::server {

template <typename ConnectionSocket>
class FlushQueue {
 public:
  explicit FlushQueue(boost::asio::io_context& context) : context_(context) {}

  // Calls session->FlushDeferred(), which must not throw, after all handlers that are ready now.
  // A connection that is added twice is called twice. Errors: std::bad_alloc.
  void Add(std::shared_ptr<ConnectionSocket> session) {
    if (waiting_.empty()) {  // post() may throw: before an entry waits for its call
      boost::asio::post(context_, [this] { FlushAll(); });
    }
    waiting_.push_back(std::move(session));
  }

 private:
  void FlushAll() {
    std::swap(waiting_, flushing_);
    for (const auto& session : flushing_) {
      session->FlushDeferred();
    }
    flushing_.clear();
  }

  boost::asio::io_context& context_;
  std::vector<std::shared_ptr<ConnectionSocket>> waiting_;
  std::vector<std::shared_ptr<ConnectionSocket>>
      flushing_;  // empty except in FlushAll(); keeps its capacity
};

}  // namespace sluice::server
