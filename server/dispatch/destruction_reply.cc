#include "server/dispatch/destruction_reply.h"

#include <new>
#include <utility>

namespace sluice::server {
namespace {

class DestructionReply final : public LongReply {
 public:
  DestructionReply(std::unique_ptr<store::DeferredDestruction> remains,
                   std::function<void(resp::Reply&)> answer)
      : remains_(std::move(remains)), answer_(std::move(answer)) {}

  bool Write(resp::Reply& reply) override {
    if (remains_ != nullptr && !remains_->TakeApart()) {
      return true;
    }
    answer_(reply);
    return false;
  }

 private:
  std::unique_ptr<store::DeferredDestruction> remains_;
  std::function<void(resp::Reply&)> answer_;
};

}  // namespace

void ReplyAfterDestruction(Context& context, std::unique_ptr<store::DeferredDestruction> remains,
                           std::function<void(resp::Reply&)> answer) {
  if (remains == nullptr || remains->TakeApart()) {
    answer(context.reply);
    return;
  }
  try {
    context.rest = std::make_unique<DestructionReply>(std::move(remains), std::move(answer));
  } catch (const std::bad_alloc&) {  // the data is removed, so the reply must not be an error
    while (!remains->TakeApart()) {
    }
    answer(context.reply);
  }
}

}  // namespace sluice::server
