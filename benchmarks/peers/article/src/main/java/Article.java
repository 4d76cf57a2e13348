import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import redis.clients.jedis.JedisPooled;

/**
 * The flow that an article describes: five consumers hand each record to a pool of fifty threads, and commit; a thread takes the
 * product's lock, a znode that is tried for every 20 ms, compares, writes, and deletes the znode.
 *
 * <p>COMMIT says whether an offset is committed for each record, as the article has it, or for each poll.
 */
public final class Article {
    private static final int CONSUMERS = 5;
    private static final int THREADS = 50;
    private static final long LOCK_AGAIN_MS = 20;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Map<String, String> settings;
    private final ExecutorService pool = Executors.newFixedThreadPool(THREADS);
    private final CountDownLatch joining = new CountDownLatch(CONSUMERS);
    private final JedisPooled cache;
    private final ZooKeeper zookeeper;
    private final String locks;

    private Article(Map<String, String> settings) throws Exception {
        this.settings = settings;
        cache = new JedisPooled(URI.create(settings.get("REDIS_URL")));
        cache.getPool().setMaxTotal(THREADS);
        cache.getPool().setMaxIdle(THREADS);
        CountDownLatch connected = new CountDownLatch(1);
        zookeeper = new ZooKeeper(settings.get("ZOOKEEPER_HOSTS"), 30_000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        connected.await();
        locks = settings.get("LASTWORD_ZOOKEEPER_ROOT");
        try {
            zookeeper.create(locks, null, ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        } catch (KeeperException.NodeExistsException there) {
            // as it should be
        }
    }

    public static void main(String[] arguments) throws Exception {
        Article article = new Article(System.getenv());
        for (int number = 0; number < CONSUMERS; number++) {
            new Thread(article::consume, "consumer-" + number).start();
        }
        article.joining.await();
        System.out.println("partitions assigned");
    }

    /** Consumes until the process ends; begins when every consumer has joined, so that no rebalance falls into the work. */
    private void consume() {
        boolean eachRecord = !"poll".equals(settings.get("COMMIT"));
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers", settings.get("KAFKA_BOOTSTRAP_SERVERS"),
                        "group.id", settings.get("LASTWORD_CONSUMER_GROUP"),
                        "enable.auto.commit", "false",
                        "auto.offset.reset", "earliest"),
                new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(settings.get("LASTWORD_TOPIC")), new Joined(consumer));
            while (true) {
                if (joining.getCount() == 0) {
                    consumer.resume(consumer.paused());
                }
                Map<TopicPartition, OffsetAndMetadata> read = new HashMap<>();
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    pool.execute(() -> refresh(record.value()));
                    var partition = new TopicPartition(record.topic(), record.partition());
                    var next = new OffsetAndMetadata(record.offset() + 1);
                    if (eachRecord) {
                        consumer.commitSync(Map.of(partition, next));
                    } else {
                        read.put(partition, next);
                    }
                }
                if (!read.isEmpty()) {
                    consumer.commitSync(read);
                }
            }
        } catch (RuntimeException error) {
            error.printStackTrace();
            System.exit(1);
        }
    }

    private final class Joined implements ConsumerRebalanceListener {
        private final KafkaConsumer<String, String> consumer;
        private boolean counted;

        private Joined(KafkaConsumer<String, String> consumer) {
            this.consumer = consumer;
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            if (joining.getCount() > 0) {
                consumer.pause(partitions);
            }
            if (!partitions.isEmpty() && !counted) {
                counted = true;
                joining.countDown();
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            // what was read of them is committed already
        }
    }

    private void refresh(String value) {
        try {
            JsonNode change = JSON.readTree(value);
            String product = change.get("product_id").asText();
            String lock = locks + "/" + URLEncoder.encode(product, StandardCharsets.UTF_8);
            acquire(lock);
            try {
                String key = settings.get("LASTWORD_KEY_PREFIX") + product;
                String held = cache.get(key);
                if (held == null || isOlder(JSON.readTree(held), change)) {
                    cache.set(key, value);
                }
            } finally {
                zookeeper.delete(lock, -1);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (KeeperException | InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    private void acquire(String lock) throws KeeperException, InterruptedException {
        while (true) {
            try {
                zookeeper.create(lock, null, ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
                return;
            } catch (KeeperException.NodeExistsException held) {
                Thread.sleep(LOCK_AGAIN_MS);
            }
        }
    }

    private static boolean isOlder(JsonNode held, JsonNode change) {
        long before = held.get("updated_at").asLong();
        long now = change.get("updated_at").asLong();
        return before < now || before == now && held.get("sequence").asLong() < change.get("sequence").asLong();
    }
}
