// The perplexity of predicted words, and its standard error, as lm-evaluation-harness 0.4.8
// takes them.
#pragma once

#include <span>

namespace littlebit {

double perplexity_of(std::span<const double> loglikelihoods);  // exp of minus their mean

// The deviation of the perplexities of 100,000 samples of as many documents, drawn with
// replacement: the harness's own draws, seeds 0 to 99 for a thousand each. 0 for one document.
double perplexity_stderr(std::span<const double> loglikelihoods);

}  // namespace littlebit
