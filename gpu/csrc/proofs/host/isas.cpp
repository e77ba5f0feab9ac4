// What was built, and what of it this machine can run.
#include "../../host/isas.h"

#include "../tmproofs.h"

int tmk_proofs_abi(void) { return TMK_PROOFS_ABI; }

const char *tmk_proofs_isas(void) { return runnable_isas(); }
