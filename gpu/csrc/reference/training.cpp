// What training needs beside products and rows; ../training/*.h have the definitions, which are
// compiled as they stand.
#include "../training/batch_norm.h"
#include "../training/pooling.h"
#include "../training/updates.h"
