// Prints a transaction log by ZooKeeper's own reader: of each transaction its zxid, its session, its time in ms, and of
// each operation that creates, deletes or ends a session, its kind and path. Argument: the directory version-2.

import java.io.File;
import org.apache.jute.Record;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.server.ByteBufferInputStream;
import org.apache.zookeeper.server.persistence.FileTxnLog;
import org.apache.zookeeper.server.persistence.TxnLog.TxnIterator;
import org.apache.zookeeper.txn.CreateTxn;
import org.apache.zookeeper.txn.DeleteTxn;
import org.apache.zookeeper.txn.MultiTxn;
import org.apache.zookeeper.txn.Txn;
import org.apache.zookeeper.txn.TxnHeader;

public class PrintTransactions {
    public static void main(String[] arguments) throws Exception {
        try (TxnIterator transactions = new FileTxnLog(new File(arguments[0])).read(0)) {
            do {
                TxnHeader header = transactions.getHeader();
                if (header == null) {
                    break;
                }
                StringBuilder line = new StringBuilder();
                line.append(header.getZxid()).append(' ').append(header.getClientId()).append(' ');
                line.append(header.getTime());
                append(line, header.getType(), transactions.getTxn());
                System.out.println(line);
            } while (transactions.next());
        }
    }

    private static void append(StringBuilder line, int type, Record transaction) throws Exception {
        if (transaction instanceof CreateTxn) {
            line.append(" create ").append(((CreateTxn) transaction).getPath());
        } else if (transaction instanceof DeleteTxn) {
            line.append(" delete ").append(((DeleteTxn) transaction).getPath());
        } else if (type == OpCode.closeSession) {
            line.append(" close ");
        } else if (transaction instanceof MultiTxn) {
            for (Txn part : ((MultiTxn) transaction).getTxns()) {
                append(line, part.getType(), read(part));
            }
        }
    }

    private static Record read(Txn part) throws Exception {
        Record record = part.getType() == OpCode.create ? new CreateTxn()
            : part.getType() == OpCode.delete ? new DeleteTxn() : null;
        if (record != null) {
            ByteBufferInputStream.byteBuffer2Record(java.nio.ByteBuffer.wrap(part.getData()), record);
        }
        return record;
    }
}
