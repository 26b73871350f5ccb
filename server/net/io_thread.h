// IoThread: one thread of the server's I/O: an event loop and the sessions that live on it.
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
  // From now on this thread serves those that wait for memory, when some was freed by a thread that
  // does not hold the engine lock.
  void ServeWaitersHere();
  // Closes the sessions of all of them and ends all threads; then destroys them. Until then they
  // may post to one another.
  static void StopAll(std::vector<std::unique_ptr<IoThread>>& threads);

  boost::asio::io_context& GetContext() { return context_; }
  ThreadStats& GetStats() { return stats_; }
  // Takes a connected socket of this address family for a session that has `seat`. Without one it
  // gets the error line `refusal`, a literal, instead.
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
