#include "tests/chaos/link.h"

#include <poll.h>

#include "tests/support/test_server.h"

namespace sluice::tests::chaos {

void Link::Send(const Words& words, Asked asked) {
  output_ += Encode(words);
  for (std::size_t i = 0; i < words.size() && i < 14; ++i) {
    asked.text += words[i].substr(0, 40) + " ";
  }
  waiting_.push_back(std::move(asked));
}

short Link::Events(Clock::time_point now) const {
  return static_cast<short>((Deaf(now) ? 0 : POLLIN) | (output_.empty() ? 0 : POLLOUT));
}

bool Link::Pump(short events) {
  using std::chrono::milliseconds;
  if (!output_.empty() && (events & POLLOUT) != 0) {
    output_.erase(0, client_.SendSome(output_, milliseconds(0)));
  }
  constexpr int kReadsMax = 16;  // then the other connections are served
  bool readable = (events & (POLLIN | POLLHUP | POLLERR)) != 0;
  for (int i = 0; readable && i < kReadsMax; ++i) {
    if (!client_.ReceiveSome(input_, milliseconds(0))) {
      return false;
    }
    pollfd more = {.fd = client_.Descriptor(), .events = POLLIN, .revents = 0};
    readable = poll(&more, 1, 0) > 0;
  }
  return true;
}

std::optional<std::pair<Asked, Value>> Link::Take() {
  Value value;
  if (input_.empty()) {
    return std::nullopt;
  }
  const auto used = Decode(input_, value);
  if (!used) {
    return std::nullopt;
  }
  input_.erase(0, *used);
  if (waiting_.empty()) {
    throw std::runtime_error("a reply without a request: " + value.text.substr(0, 200));
  }
  std::pair<Asked, Value> taken(std::move(waiting_.front()), std::move(value));
  waiting_.pop_front();
  return taken;
}

}  // namespace sluice::tests::chaos
