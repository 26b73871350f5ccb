// Long replies that many commands share: one item after the other, and long texts.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "resp/reply.h"
#include "server/dispatch/long_reply.h"

namespace sluice::server {

// A text that is copied as a part of a payload.
class TextSteps {
 public:
  TextSteps() = default;
  explicit TextSteps(std::string_view text) : rest_(text) {}
  // One step. True: there is more.
  bool Write(resp::Reply& reply) {
    const std::string_view part = rest_.substr(0, Piece::kStepBytes);
    reply.Copy(part);
    rest_.remove_prefix(part.size());
    return !rest_.empty();
  }

 private:
  std::string_view rest_;
};

// `count` items, each appended by each(reply, i), of `bytes_max` bytes at most.
template <typename Each>
class EachReply final : public LongReply {
 public:
  EachReply(std::size_t count, Each each, std::size_t bytes_max)
      : count_(count), each_(std::move(each)), step_bytes_(bytes_max + Piece::kStepBytes) {}

  bool Write(resp::Reply& reply) override {
    for (Piece piece(reply, std::exchange(begun_, true), step_bytes_); piece.HasSpace();) {
      for (Step step(reply); step.HasTime();) {
        if (next_ == count_) {
          return false;
        }
        each_(reply, next_++);
      }
    }
    return true;
  }

 private:
  std::size_t count_;
  Each each_;
  std::size_t step_bytes_;
  std::size_t next_ = 0;
  bool begun_ = false;
};

// Writes the first piece now; `rest` writes the others.
inline void Begin(std::unique_ptr<LongReply> producer, resp::Reply& reply,
                  std::unique_ptr<LongReply>& rest) {
  if (producer->Write(reply)) {
    rest = std::move(producer);
  }
}
template <typename Each>
void ReplyEach(std::size_t count, Each each, resp::Reply& reply, std::unique_ptr<LongReply>& rest,
               std::size_t bytes_max = 0) {
  Begin(std::make_unique<EachReply<Each>>(count, std::move(each), bytes_max), reply, rest);
}

// One bulk string from a container of bytes or numbers, which it owns; preceded by `name`, if
// given.
template <typename Container>
class BulkReply final : public LongReply {
 public:
  explicit BulkReply(Container container, std::string_view name = {})
      : container_(std::move(container)), name_(name) {
    const auto* const data = reinterpret_cast<const char*>(container_.data());
    bytes_ = {data, container_.size() * sizeof(*container_.data())};
    steps_ = TextSteps(bytes_);
  }
  BulkReply(BulkReply&&) = delete;

  bool Write(resp::Reply& reply) override {
    Piece piece(reply, begun_);
    if (!piece.HasSpace()) {
      return true;
    }
    if (!std::exchange(begun_, true)) {
      if (!name_.empty()) {
        reply.Bulk(name_);
      }
      reply.BeginPayload(bytes_.size());
    }
    while (piece.HasSpace()) {
      if (!steps_.Write(reply)) {
        reply.EndPayload();
        return false;
      }
    }
    return true;
  }

 private:
  Container container_;
  std::string_view name_;
  std::string_view bytes_;
  TextSteps steps_;
  bool begun_ = false;
};

// One after the other.
class Sequence final : public LongReply {
 public:
  explicit Sequence(std::vector<std::unique_ptr<LongReply>> parts) : parts_(std::move(parts)) {}
  bool Write(resp::Reply& reply) override {
    while (next_ < parts_.size() && !parts_[next_]->Write(reply)) {
      ++next_;
    }
    return next_ < parts_.size();
  }

 private:
  std::vector<std::unique_ptr<LongReply>> parts_;
  std::size_t next_ = 0;
};

}  // namespace sluice::server
