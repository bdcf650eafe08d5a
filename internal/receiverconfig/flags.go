package receiverconfig

// MinReserveBytes is the least that the receiver may be told to keep free of
// its volume: the spool writes its tables and its log into it.
const MinReserveBytes = 96 << 20
