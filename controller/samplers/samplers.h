// The samplers, one per file of this folder. The table is in sampler_registry.cc.
#pragma once

#include "controller/samplers/sampler.h"

namespace sluice::controller {

std::unique_ptr<Sampler> MakeSequential(const SamplerChoice& choice, const Choosable& from);
std::unique_ptr<Sampler> MakeLifo(const SamplerChoice& choice, const Choosable& from);
std::unique_ptr<Sampler> MakeRandom(const SamplerChoice& choice, const Choosable& from);
std::unique_ptr<Sampler> MakePriority(const SamplerChoice& choice, const Choosable& from);
std::unique_ptr<Sampler> MakeGroup(const SamplerChoice& choice, const Choosable& from);
std::unique_ptr<Sampler> MakeBalanced(const SamplerChoice& choice, const Choosable& from);
std::unique_ptr<Sampler> MakeBudget(const SamplerChoice& choice, const Choosable& from);

}  // namespace sluice::controller
