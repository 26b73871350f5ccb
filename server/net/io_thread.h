// IoThread: one I/O thread of the server: an event loop and its connections.
//
// Thread safety: Adopt() from any thread; the rest happens on the thread itself.
#pragma once

#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/descriptor.h"
#include "server/dispatch/context.h"
#include "server/net/connection_socket.h"

namespace sluice::server {

class IoThread {
 public:
  IoThread(Server& server, ThreadStats& stats);
  ~IoThread();  // NOLINT(bugprone-exception-escape): see io_thread.cc
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void Start();
  // From now on this thread serves the waiters for memory when a thread without the engine lock
  // frees memory.
  void ServeWaitersHere();
  // Closes all connections and ends all threads, then destroys them. Until all have ended they may
  // post to one another.
  static void StopAll(std::vector<std::unique_ptr<IoThread>>& threads);

  boost::asio::io_context& GetContext() { return context_; }
  ThreadStats& GetStats() { return stats_; }
  // Serves a connected socket of this address family, counted by `slot`. If `slot` is null, the
  // peer gets the error line `refusal`, a literal, instead.
  void Adopt(Descriptor socket, int family, ConnectionSlot slot, std::string_view refusal);

 private:
  void Run();
  void Stop();
  void Join();
  void Tick();
  void ArmTick();

  Server& server_;
  ThreadStats& stats_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer tick_;
  FlushQueue<ConnectionSocket> flushes_{context_};
  std::vector<std::weak_ptr<ConnectionSocket>> sessions_;
  std::thread thread_;
};

}  // namespace sluice::server
