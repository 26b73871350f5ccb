#include "server/net/io_thread.h"

#include <chrono>
#include <new>
#include <utility>

#include <boost/asio/post.hpp>
#include <sys/socket.h>

#include "base/log.h"

namespace sluice::server {
namespace {

constexpr std::chrono::milliseconds kTick{250};

}  // namespace

IoThread::IoThread(Server& server, ThreadStats& stats)
    : server_(server), stats_(stats), work_(context_.get_executor()), tick_(context_) {}

// NOLINTNEXTLINE(bugprone-exception-escape): at process exit an exception cannot be handled
IoThread::~IoThread() {
  Stop();
  Join();
}

void IoThread::Join() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

void IoThread::StopAll(std::vector<std::unique_ptr<IoThread>>& threads) {
  for (const auto& thread : threads) {
    thread->Stop();
  }
  for (const auto& thread : threads) {
    thread->Join();
  }
  if (!threads.empty()) {
    threads.front()->server_.wait_queues.SetServeSoon([] {});
  }
  threads.clear();
}

void IoThread::ServeWaitersHere() {
  server_.wait_queues.SetServeSoon([this] {
    boost::asio::post(context_, [this] {
      engine::Engine::Turn turn(server_.engine, server_.clock);
      turn.Enter();
    });
  });
}

void IoThread::Start() {
  thread_ = std::thread([this] { Run(); });
}

// Exceptions come from the work of one connection, which is closed, or from the tick, which is
// armed again.
void IoThread::Run() {
  for (;;) {
    try {
      ArmTick();
      context_.run();
      return;
    } catch (const std::bad_alloc&) {
    }
  }
}

void IoThread::Stop() {
  boost::asio::post(context_, [this] {
    for (const auto& weak : std::exchange(sessions_, {})) {
      if (const auto session = weak.lock()) {
        session->Close();
      }
    }
    tick_.cancel();
    work_.reset();
    context_.stop();
  });
}

void IoThread::Adopt(Descriptor socket, int family, ConnectionSlot slot, std::string_view refusal) {
  boost::asio::post(context_, [this, socket = std::move(socket), family, slot = std::move(slot),
                               refusal]() mutable {
    if (slot == nullptr) {
      stats_.rejected_connections.Add(1);
      static_cast<void>(
          send(socket.Number(), refusal.data(), refusal.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
      return;
    }
    ConnectionSocket::Socket adopted(context_);
    boost::system::error_code error;
    adopted.assign({family, 0}, socket.Number(), error);
    if (error) {
      return;  // the system has no resources to watch it
    }
    socket.Release();
    stats_.accepted_connections.Add(1);
    const auto session = std::make_shared<ConnectionSocket>(std::move(adopted), std::move(slot),
                                                            server_, stats_, flushes_);
    sessions_.push_back(session);
    session->Start();
  });
}

void IoThread::ArmTick() {
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      Tick();
      ArmTick();
    }
  });
}

void IoThread::Tick() {
  std::erase_if(sessions_, [](const auto& weak) { return weak.expired(); });
  const std::int64_t now_us = server_.clock.NowUs();
  for (const auto& weak : sessions_) {
    if (const auto session = weak.lock(); session && session->Open()) {
      session->Tick(now_us);
    }
  }
}

}  // namespace sluice::server
