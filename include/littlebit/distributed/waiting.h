// How long this process has waited in collective calls, all together: for the messages of others,
// and for its own to leave.
#pragma once

namespace littlebit {

double seconds_waited();

}  // namespace littlebit
