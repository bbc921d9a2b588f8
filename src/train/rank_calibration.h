// quant.ranks=by_loss: what the compression of each layer alone costs the teacher.
#pragma once

#include "session.h"

namespace littlebit {

// Whether a new run begins with that.
bool measures_ranks(const Session& session);

// What allocate_ranks makes of the session's plans, which are uniform, and of the KL divergence
// between the teacher and itself with one layer compressed, over the first tokens of the training
// text. Processes divide the layers, and come to the same plans. Of a teacher whose matrices do not
// stay in memory nothing can be measured: the session's own, with a warning. Collective; a stop
// request ends it in all processes (Error of kStopped).
std::vector<LayerPlan> plans_by_loss(const Session& session, Decoder& teacher,
                                     const Corpus& corpus);

}  // namespace littlebit
