#include "tests/chaos/worker.h"

#include <cstdio>
#include <exception>

#include <fmt/format.h>
#include <poll.h>

namespace sluice::tests::chaos {
namespace {

constexpr int kPollMs = 2;
constexpr std::size_t kOperatorSlot = SIZE_MAX;

}  // namespace

Worker::Worker(Scene& scene, unsigned seed, int number)
    : scene_(scene),
      number_(number),
      plan_(scene, seed * 1000 + static_cast<unsigned>(number)),
      ledger_(scene, number),
      thread_([this] { Run(); }) {}

Worker::~Worker() {
  Join();
}

void Worker::Join() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Worker::Run() {
  try {
    while (!scene_.closing) {
      Turn(Clock::now());
    }
  } catch (const std::exception& error) {
    scene_.Fail(fmt::format("thread {}: {}", number_, error.what()));
  }
  waiting_ = 0;
}

void Worker::Turn(Clock::time_point now) {
  for (std::size_t i = 0; i < kLinks && !scene_.ending; ++i) {
    LinkPtr& link = links_[i];
    if (link == nullptr) {
      Connect(link, static_cast<std::size_t>(number_) * kLinks + i);
    }
    if (plan_.Pick(4000) == 0) {
      EndAbruptly(link);
    } else if (link->Waiting().empty() && !link->HalfClosed() && plan_.Chance(15)) {
      Begin(*link, now);
    }
  }
  if (!scene_.ending && now >= operate_at_) {
    Operate();
    operate_at_ = now + std::chrono::milliseconds(plan_.Pick(100));
  }
  if (scene_.ending && now >= operate_at_) {
    UnblockFetches();
    operate_at_ = now + std::chrono::milliseconds(200);
  }
  Poll(now);
  CountWaiting(now);
  if (scene_.dumps > dumps_) {
    dumps_ = scene_.dumps;
    static_cast<void>(std::fputs(ShowWaiting().c_str(), stderr));
  }
}

void Worker::Poll(Clock::time_point now) {
  std::array<pollfd, kLinks + 1> polled = {};
  std::array<LinkPtr*, kLinks + 1> of = {};
  nfds_t count = 0;
  const auto add = [&](LinkPtr& link) {
    if (link != nullptr) {
      polled[count] = {.fd = link->Descriptor(), .events = link->Events(now), .revents = 0};
      of[count++] = &link;
    }
  };
  for (LinkPtr& link : links_) {
    add(link);
  }
  add(operator_);
  poll(polled.data(), count, kPollMs);
  for (nfds_t i = 0; i < count; ++i) {
    if (polled[i].revents != 0 && (*of[i])->Events(now) != 0) {
      Serve(*of[i], polled[i].revents);
    }
  }
}

void Worker::Serve(LinkPtr& link, short events) {
  const bool open = link->Pump(events);
  try {
    while (auto taken = link->Take()) {
      ++scene_.replies;
      Judge(taken->first, taken->second, link->Slot());
    }
  } catch (const std::runtime_error& error) {
    scene_.Fail(fmt::format("thread {}: {}", number_, error.what()));
    return End(link);
  }
  if (!open) {
    End(link);
  }
}

// Also finds requests that have waited longer than allowed.
void Worker::CountWaiting(Clock::time_point now) {
  int waiting = operator_ != nullptr && !operator_->Waiting().empty() ? 1 : 0;
  for (const LinkPtr& link : links_) {
    if (link == nullptr || link->Waiting().empty()) {
      continue;
    }
    Asked& oldest = link->Waiting().front();
    ++waiting;
    if (now > oldest.due && !link->Deaf(now)) {
      scene_.Fail(fmt::format("no answer in time to: {}", oldest.text));
      oldest.due = Clock::time_point::max();
      ++scene_.dumps;
    }
  }
  waiting_ = waiting;
}

std::string Worker::ShowWaiting() {
  std::string text;
  for (const LinkPtr& link : links_) {
    if (link != nullptr && !link->Waiting().empty()) {
      text += fmt::format("thread {} client {} waits for {} replies, the first to: {}\n", number_,
                          scene_.victims[link->Slot()].load(), link->Waiting().size(),
                          link->Waiting().front().text);
    }
  }
  return text;
}

void Worker::Connect(LinkPtr& link, std::size_t slot) {
  link =
      std::make_unique<Link>(plan_.Chance(50) ? scene_.server.Tcp() : scene_.server.Unix(), slot);
  if (slot == kOperatorSlot) {
    return;
  }
  scene_.victims[slot] = 0;
  if (plan_.Chance(50)) {
    Send(*link, {.words = {"HELLO", "3"}});
  }
  Send(*link, {.words = {"CLIENT", "ID"}});
}

void Worker::End(LinkPtr& link) {
  for (const Asked& asked : link->Waiting()) {
    for (const Promise& promise : asked.promises) {
      ledger_.Abandoned(promise);
    }
  }
  ++replies_[link->HalfClosed() ? "(half-closed)" : "(closed)"];
  link = nullptr;
}

void Worker::EndAbruptly(LinkPtr& link) {
  switch (plan_.Pick(3)) {
    case 0:
      link->HalfClose();
      return;
    case 1:
      link->Reset();
      break;
    default:
      break;
  }
  End(link);
}

void Worker::Judge(const Asked& asked, const Value& value, std::size_t slot) {
  const bool error = value.type == '-';
  ++replies_[error ? value.text.substr(0, value.text.find(' ')) : "ok"];
  for (const char* const wrong : {"unknown command", "wrong number of arg", "syntax error",
                                  "Protocol error", "is not an integer"}) {
    if (error && value.text.find(wrong) != std::string::npos) {
      scene_.Fail(fmt::format("'{}' answers '{}'", asked.text, value.text));
    }
  }
  if (asked.text == "CLIENT ID " && value.type == ':') {
    scene_.victims[slot] = std::stoll(value.text);
  }
  if (!error && asked.flush) {
    ++scene_.flushes_done;
  }
  for (std::size_t i = 0; !asked.task.empty() && i + 1 < value.items.size(); i += 2) {
    if (value.items[i].text == "lease") {
      plan_.Remember(asked.partition, asked.task, value.items[i + 1].text);
    }
  }
  if (asked.promises.empty()) {
    return;
  }
  if (asked.promises.front().kind == Promise::Kind::kRead) {
    JudgeRead(asked, value);
  } else {
    JudgeOwn(asked, value);
  }
}

void Worker::JudgeOwn(const Asked& asked, const Value& value) {
  const Value* own = &value;
  if (asked.exec_item > 0) {
    own = value.type == '*' ? &value.items.at(asked.exec_item - 1) : nullptr;  // null: WATCH failed
  }
  for (const Promise& promise : asked.promises) {
    if (own == nullptr || own->type == '-') {
      ledger_.Refused(promise);
    } else {
      ledger_.Done(promise);
    }
  }
}

void Worker::JudgeRead(const Asked& asked, const Value& value) {
  const bool none = value.type == '-' &&
                    (value.text.starts_with("NOPARTITION") || value.text.starts_with("NOFIELD"));
  for (std::size_t i = 0; i < asked.promises.size(); ++i) {
    const Promise& promise = asked.promises[i];
    ledger_.Done(promise);
    if (value.type == '-' && !none) {
      continue;  // no memory for the reply
    }
    const std::vector<Value> nothing;
    const std::vector<Value>& fields = none ? nothing : value.items.at(i).items;
    ledger_.Check(promise.row, fields.empty() ? nullptr : &fields.at(0).items.at(3).text);
  }
}

}  // namespace sluice::tests::chaos
