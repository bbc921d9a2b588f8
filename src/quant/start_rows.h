// The rows of the table of starts, one function in each file.
#pragma once

#include "littlebit/quant/starts.h"

namespace littlebit {

Start dual_svid();
Start joint_itq();
Start lb_admm();

}  // namespace littlebit
