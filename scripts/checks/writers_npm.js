// Clients of npm: URL and time as arguments, the folder of modules in MODULES. Prints what each call returned.
const require_module = require('node:module').createRequire(process.env.MODULES + '/');
const { InfluxDB: Influx1 } = require_module('influx');
const { InfluxDB: Influx2, Point } = require_module('@influxdata/influxdb-client');
const { BucketsAPI, HealthAPI, OrgsAPI, ReadyAPI } = require_module('@influxdata/influxdb-client-apis');
const { InfluxDBClient: Influx3, Point: Point3 } = require_module('@influxdata/influxdb3-client');
const { Sender } = require_module('@questdb/nodejs-client');
const { pushTimeseries } = require_module('prometheus-remote-write');

const url = process.argv[2];
const { host, hostname, port } = new URL(url);
const second = Number(process.argv[3]);
const time = new Date(second * 1000);
const said = {};

async function say(name, call) {
    try {
        said[name] = (await call()) ?? 'done';
    } catch (error) {
        said[name] = `error: ${error.message}`;
    }
}

async function remoteWrite() {
    await say('prometheus-remote-write', async () => {
        const series = { labels: { __name__: 'npm_unsorted', z: '1', a: '2' }, samples: [{ value: 2.5, timestamp: second * 1000 }] };
        const answer = await pushTimeseries(series, { url: `${url}/api/v1/write`, labels: { b: 'x' } });
        return answer.status === 204 ? 204 : `error: ${answer.status} ${answer.errorMessage}`;
    });
}

async function version1() {
    const client = new Influx1({ host: hostname, port: Number(port), database: 'plant', username: 'u', password: 'p' });
    await say('influx: databases before', () => client.getDatabaseNames());
    await client.createDatabase('plant').catch(() => {});
    await say('influx: databases after', () => client.getDatabaseNames());
    await say('influx: write', () => client.writePoints([{ measurement: 'v1', tags: { site: 'a b' }, fields: { flow: 1.25 }, timestamp: time }]));
    await say('influx: ping', async () => (await client.ping(600000)).map(answer => answer.online));
}

async function version2() {
    const client = new Influx2({ url, token: 'any' });
    await say('influxdb-client: write', async () => {
        const write = client.getWriteApi('home', 'house', 's', { maxRetries: 0 });
        write.writePoint(new Point('v2').tag('site', 'c').floatField('flow', 2.25).timestamp(time));
        await write.close();
    });
    await say('influxdb-client: health', async () => (await new HealthAPI(client).getHealth()).status);
    await say('influxdb-client: ready', async () => (await new ReadyAPI(client).getReady()).status);
    await say('influxdb-client: the bucket', async () => (await new BucketsAPI(client).getBuckets({ name: 'house' })).buckets.map(one => one.name));
    await say('influxdb-client: the organization', async () => (await new OrgsAPI(client).getOrgs({ org: 'home' })).orgs.map(one => one.name));
}

async function version3() {
    const client = new Influx3({ host: url, token: 'any', database: 'lab' });
    const point = (name, site, value) => Point3.measurement(name).setTag('site', site).setFloatField('flow', value).setTimestamp(time);
    await say('influxdb3-client: write', () => client.write(point('v3', 'd', 3.25)));
    await say('influxdb3-client: write without sync', () => client.write(point('v3_now', 'e', 4.25), undefined, undefined, { noSync: true }));
    await client.close();
}

async function questdb() {
    await say('questdb: automatic version', async () => {
        const sender = await Sender.fromConfig(`http::addr=${host};request_timeout=600000;retry_timeout=600000;`);
        await sender.table('trades').symbol('pair', 'a b').floatColumn('price', 5.25).intColumn('count', 7).at(BigInt(second) * 1000000n, 'us');
        await sender.flush();
        await sender.close();
    });
}

// Libraries report to the console what their calls throw too; only the last line is for the caller.
console.log = console.error;
(async () => {
    for (const part of [remoteWrite, version1, version2, version3, questdb]) await part();
    process.stdout.write(JSON.stringify(said) + '\n');
})();
