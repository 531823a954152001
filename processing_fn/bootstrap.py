"""The composition root of the Processing Worker: the one place that puts the parts together."""

from dataclasses import dataclass

from processing_fn.adapters.commit_links import CommitLinks
from processing_fn.adapters.main_worker import GrpcMainWorker
from processing_fn.cache.document_cache import DocumentCache
from processing_fn.service import readiness
from processing_fn.service.certificate_renewal import CertificateRenewal
from processing_fn.service.coherence import Coherence, Unsent
from processing_fn.service.engine import Engine
from processing_fn.service.instruments import Instruments
from processing_fn.service.membership import Membership
from processing_fn.service.pacing import Pacer
from processing_fn.service.ports import WorkerReport
from processing_fn.service.readings import Readings
from processing_fn.service.session import Session
from processing_fn.service.traffic import Traffic
from processing_fn.settings import Settings
from processing_fn.storage.entity_files import EntityFiles
from processing_fn.storage.locks import EntityLocks
from processing_fn.storage.overlap import for_mount, is_network
from strongroom import release
from strongroom.clock import SystemClock
from strongroom.configuration_files import ConfigurationFiles
from strongroom.identity import LiveIdentity
from strongroom.layout import Layout
from strongroom.metrics.filesystem import MeasuredFilesystem
from strongroom.metrics.instruments import Metrics
from strongroom.readiness import Checkup
from strongroom.rpc import tls


@dataclass(frozen=True, slots=True)
class Worker:
    """The parts that a running worker consists of."""

    membership: Membership
    cache: DocumentCache
    main: GrpcMainWorker
    pacer: Pacer
    traffic: Traffic
    identity: LiveIdentity
    certificate_renewal: CertificateRenewal
    links: CommitLinks
    checkup: Checkup
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class _Makers:
    """What the parts are made by that every request comes through."""

    locks: type[EntityLocks] = EntityLocks
    files: type[EntityFiles] = EntityFiles
    cache: type[DocumentCache] = DocumentCache


def _traced() -> _Makers:
    """Return what makes parts that tell of themselves where a request is in a span."""
    # Imported where there is a use for it: others pay nothing for spans.
    from processing_fn.cache.traced import NotedCache  # noqa: PLC0415
    from processing_fn.storage.traced import SpannedFiles, SpannedLocks  # noqa: PLC0415

    return _Makers(SpannedLocks, SpannedFiles, NotedCache)


def build(settings: Settings, *, is_traced: bool = False) -> Worker:
    """Put a worker together; nothing is opened or called yet.

    Args:
        settings: What its environment says.
        is_traced: Whether requests may be in spans.
    """
    clock, metrics = SystemClock(), Metrics()
    filesystem = MeasuredFilesystem(metrics)
    layout = Layout(settings.shared_dir)
    make = _traced() if is_traced else _Makers()
    locks = make.locks(filesystem, layout, clock, metrics)
    overlap, on_network = for_mount(settings.shared_dir), is_network(settings.shared_dir)
    pacer, traffic = Pacer(clock), Traffic(clock)
    cache = make.cache(clock, settings.cache_bytes, settings.cache_ttl_s)
    unsent = Unsent()
    coherence = Coherence(unsent, settings.coherence_bound_s)
    identity = LiveIdentity(settings.identity, clock, tls.worker_name(settings.worker_id))
    main = GrpcMainWorker(settings.worker_id, settings.main_address, identity, settings.sealing)
    links = CommitLinks(settings.worker_id, identity, unsent, cache.invalidate)

    def make_engine(session: Session) -> Engine:
        storage = make.files(
            filesystem,
            layout,
            locks,
            clock=clock,
            overlap=overlap,
            out_of_service=membership.leave_service,
            is_network=on_network,
        )
        configurations = ConfigurationFiles(filesystem, layout, session.configuration_keys)
        return Engine(
            session,
            storage,
            configurations,
            cache,
            clock=clock,
            overlap=overlap,
            pacer=pacer,
            coherence=coherence,
        )

    def report() -> WorkerReport:
        counters = cache.statistics()
        return WorkerReport(
            load=traffic.load(),
            cache_entries=counters["cache_entries"],
            cache_bytes=counters["cache_bytes"],
            version=release.version(),
        )

    membership = Membership(
        settings.worker_id,
        main,
        make_engine,
        clock,
        links.follow,
        traffic=traffic,
        report=report,
        instruments=Instruments(metrics),
    )
    renewal = CertificateRenewal(identity, main, lambda: membership.token, clock)
    looked_at = readiness.checkup(membership, filesystem, layout, identity, clock)
    Readings(
        worker_id=settings.worker_id,
        membership=membership,
        cache=cache.statistics,
        cache_bytes_max=settings.cache_bytes,
        traffic=traffic,
        unsent=unsent,
        identity=identity,
    ).give(metrics)
    return Worker(
        membership=membership,
        cache=cache,
        main=main,
        pacer=pacer,
        traffic=traffic,
        identity=identity,
        certificate_renewal=renewal,
        links=links,
        checkup=looked_at,
        metrics=metrics,
    )
