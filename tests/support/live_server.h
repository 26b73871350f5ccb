// A real server in this process: the parts of TestServer behind I/O threads, on a free TCP port and
// a Unix socket in a temporary folder.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <boost/asio/post.hpp>

#include "server/net/io_thread.h"
#include "server/net/listener.h"
#include "tests/support/socket_client.h"
#include "tests/support/test_server.h"

namespace sluice::tests {

class LiveServer {
 public:
  // With one option set as in the configuration.
  explicit LiveServer(std::string_view option = {}, std::string_view value = {}, int io_threads = 2)
      : parts_(std::size_t{8} << 30, UseClock::kSystem) {
    std::string folder = std::filesystem::temp_directory_path() / "sluice-test-XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) {
      throw std::runtime_error("mkdtemp failed");
    }
    folder_ = folder;
    socket_ = folder + "/s";
    parts_.Set("unixsocket", socket_);
    parts_.Set("maxmemory", "4gb");
    if (!option.empty()) {
      parts_.Set(option, value);
    }
    for (int i = 0; i < io_threads; ++i) {
      server::Stats& stats = parts_.Get().stats;
      stats.threads.push_back(std::make_unique<server::ThreadStats>(server::CommandCount()));
      threads_.push_back(std::make_unique<server::IoThread>(parts_.Get(), *stats.threads.back()));
    }
    OpenOnFreePort();
    threads_.front()->ServeWaitersHere();
    for (const auto& thread : threads_) {
      thread->Start();
    }
  }
  ~LiveServer() {
    boost::asio::post(threads_.front()->GetContext(), [this] { listener_->Close(); });
    server::IoThread::StopAll(threads_);
    listener_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  LiveServer(const LiveServer&) = delete;
  LiveServer& operator=(const LiveServer&) = delete;

  SocketClient Tcp() { return SocketClient::Tcp(static_cast<int>(parts_.GetConfig().port)); }
  SocketClient Unix() { return SocketClient::Unix(socket_); }
  TestServer& Parts() { return parts_; }
  // The first thread runs the listener.
  std::span<const std::unique_ptr<server::IoThread>> Threads() { return threads_; }
  [[nodiscard]] std::int64_t Connections() {
    return parts_.Get().stats.Sum(&server::ThreadStats::connections);
  }
  [[nodiscard]] std::int64_t UsedMemory() { return parts_.GetMemory().GetBudget().Used(); }

 private:
  void OpenOnFreePort() {
    for (int attempt = 0; attempt < 100; ++attempt) {
      parts_.GetConfig().port = 20000 + (getpid() * 7 + attempt * 101) % 30000;
      listener_ = std::make_unique<server::Listener>(parts_.Get(), threads_);
      if (listener_->Open().ok()) {
        return;
      }
    }
    throw std::runtime_error("no free port");
  }

  TestServer parts_;
  std::filesystem::path folder_;
  std::string socket_;
  std::vector<std::unique_ptr<server::IoThread>> threads_;
  std::unique_ptr<server::Listener> listener_;
};

}  // namespace sluice::tests
